"""One run of one async job in an event loop: what `execution` is for the others."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, Protocol

from taskscheduler.jobs.executor import Container, after_tear_down, instance, outcome_of
from taskscheduler.jobs.job import Job, Runtime
from taskscheduler.model.attempt_result import AttemptResult, Outcome, failure, storable
from taskscheduler.model.lifecycle import Ending

#: the end of an attempt that was interrupted; whoever did that knows what becomes of the job
INTERRUPTED: AttemptResult = (Ending.RETURNED, {})


class AsyncRuntime(Runtime, Protocol):
    """What a worker lends to an async job."""

    @property
    def is_interrupted(self) -> bool:
        """Whether the job has to end now, for which its task was cancelled."""
        ...


async def execute_async(
    document: dict[str, Any], runtime: AsyncRuntime, container: Container | None, max_payload: int
) -> AttemptResult:
    """Run the job; INTERRUPTED if it was ended by the cancellation of its task. Raises nothing."""
    try:
        job = instance(document, runtime, container)
    except BaseException as error:  # also SystemExit and KeyboardInterrupt, which would end the loop
        return failure(error)
    end = await _worked(job, runtime, max_payload)
    if type(job).tear_down is Job.tear_down:
        return end
    outcome = Outcome(runtime.interruption()) if end is INTERRUPTED else outcome_of(end)
    try:
        await _settled(job.tear_down(outcome))
    except BaseException as error:  # as above
        if _is_interruption(error, runtime):
            return INTERRUPTED
        after = after_tear_down(job, None if end is INTERRUPTED else end, error)
        return INTERRUPTED if end is INTERRUPTED else after
    return end


async def _worked(job: Job, runtime: AsyncRuntime, max_payload: int) -> AttemptResult:
    try:
        await _settled(job.set_up())
        result = await _settled(job.start())
    except BaseException as error:  # as above
        return INTERRUPTED if _is_interruption(error, runtime) else failure(error)
    return storable(job.name, result, max_payload)


def _is_interruption(error: BaseException, runtime: AsyncRuntime) -> bool:
    return isinstance(error, asyncio.CancelledError) and runtime.is_interrupted


async def _settled(answer: Any) -> Any:
    """What a function or a coroutine function gives in the end."""
    return await answer if inspect.isawaitable(answer) else answer
