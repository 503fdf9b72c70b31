"""One attempt of one async job in an event loop: build it, set_up, start, tear_down, result."""

from __future__ import annotations

import asyncio
import inspect
import os
from typing import Any, Protocol

from taskscheduler.jobs.batches import BatchRun
from taskscheduler.jobs.executor import (
    Container,
    after_tear_down,
    committed,
    failed,
    instance,
    of_one,
    outcome_of,
    started,
    stored,
)
from taskscheduler.jobs.forks import leave_fork
from taskscheduler.jobs.job import Job, Runtime
from taskscheduler.model.attempt_result import AttemptResult, Outcome
from taskscheduler.model.lifecycle import Ending

#: the result of an attempt that was interrupted; the one who interrupted it decides how the job goes on
INTERRUPTED = AttemptResult(Ending.RETURNED, {})


class AsyncRuntime(Runtime, Protocol):
    """The services that a worker offers to an async job."""

    @property
    def is_interrupted(self) -> bool:
        """Whether the job has to end now; its task was cancelled for that."""
        ...


async def execute_async(
    document: dict[str, Any],
    runtime: AsyncRuntime,
    container: Container | None,
    max_payload: int,
    batch: BatchRun | None = None,
) -> AttemptResult:
    """Runs the job; returns INTERRUPTED if the cancellation of its task ended it. Raises nothing.

    A `batch` means what it does in `execute`.
    """
    owner = os.getpid()
    try:
        job = instance(document, runtime, container, batch=batch)
    except BaseException as error:  # also SystemExit and KeyboardInterrupt, which would end the loop
        leave_fork(owner, error)
        return failed(document["class"], error)
    leave_fork(owner)
    result = await _torn_down(job, runtime, await _worked(job, runtime, max_payload))
    return result if job._batch is batch or result is INTERRUPTED else of_one(job, result)


async def _torn_down(job: Job, runtime: AsyncRuntime, result: AttemptResult) -> AttemptResult:
    """Cleans up after a job that has ended so; returns how it ended in the end."""
    owner = os.getpid()
    if type(job).tear_down is Job.tear_down:
        return result
    outcome = Outcome(runtime.interruption()) if result is INTERRUPTED else outcome_of(result)
    try:
        await _settled(job.tear_down(outcome))
    except BaseException as error:  # as above
        leave_fork(owner, error)
        if _is_interruption(error, runtime):
            return INTERRUPTED
        after = after_tear_down(job, None if result is INTERRUPTED else result, error)
        return INTERRUPTED if result is INTERRUPTED else after
    return result


async def _worked(job: Job, runtime: AsyncRuntime, max_payload: int) -> AttemptResult:
    owner = os.getpid()
    try:
        await _settled(job.set_up())
        result = await _settled(started(job))
    except BaseException as error:  # as above
        leave_fork(owner, error)
        if _is_interruption(error, runtime):
            return INTERRUPTED
        return committed(job, error) or failed(job.name, error)
    return committed(job) or stored(job, result, max_payload)


def _is_interruption(error: BaseException, runtime: AsyncRuntime) -> bool:
    # not isinstance, which runs code of the exception
    return issubclass(type(error), asyncio.CancelledError) and runtime.is_interrupted


async def _settled(answer: Any) -> Any:
    """Returns the result of a function or a coroutine function."""
    return await answer if inspect.isawaitable(answer) else answer
