"""The methods of a job that make it resumable: step, sleep and wait_for, blocking or as coroutines."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

from bson import ObjectId

from taskscheduler.declarations.registry import JobSpec
from taskscheduler.errors import InvalidJobError, InvalidOptionError, InvalidStateError, SchedulerError
from taskscheduler.jobs.batches import BatchedJob
from taskscheduler.jobs.commits import CommitState
from taskscheduler.jobs.steps import MISSING, AttemptSteps
from taskscheduler.model.checks import Seconds, waiting_time
from taskscheduler.model.resumable.steps import length_of_sleep

_NOT_IN_A_SERVICE = "a service runs for ever and has no {}; let it add a job for that"


class ResumableJob(BatchedJob):
    """What a job has of steps. In an async job each method returns a coroutine: `await self.step(...)`."""

    id: ObjectId
    attempt: int
    _runtime: Any
    _commits: CommitState | None
    _is_service: ClassVar[bool]
    __job__: ClassVar[JobSpec | None]
    _kept_steps: AttemptSteps | None = None

    def step(self, name: str, function: Callable[..., Any], /, *args: Any, **named: Any) -> Any:
        """Calls `function(*args, **named)` once for this job, whatever becomes of this attempt; returns its result.

        The result is stored in the job under this name, as BSON. A later attempt gets it from there, and does not call
        the function. A worker that dies between the call and the write makes the next attempt call it again.
        An exception of the function stores nothing. In an async job the function may be a coroutine function.

        InvalidStateError if this attempt has used the name already, in a service, and for more than 1000 steps.
        InvalidDataError or PayloadTooLargeError if the result cannot be stored.
        """
        steps = self._steps("steps")
        if not callable(function):
            raise InvalidOptionError(f"step {name!r:.120} takes a function and its arguments, not {function!r:.60}")
        if self._is_async:
            return self._async_step(steps, name, function, args, named)
        if inspect.iscoroutinefunction(function):
            raise InvalidJobError(f"step {name!r:.120} has a coroutine function, which only an async job can run")
        result = steps.recall(name)
        if result is not MISSING:
            return result
        try:
            return steps.record(name, function(*args, **named))
        except BaseException:
            steps.forget(name)
            raise

    def sleep(
        self,
        seconds: Seconds | None = None,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        until: datetime | None = None,
        name: str | None = None,
    ) -> Any:
        """Gives the slot back for so long, or `until` an aware date, and begins the job again then, its steps kept.

        The attempt ends, by an exception that is no Exception. That uses no retry. The next attempt comes to the same
        sleep, which is over, and goes on. Sleeps are told apart by their `name`, else by their number in the attempt.
        InvalidOptionError for other values, InvalidStateError as `step` does.
        """
        steps, length = self._steps("sleep"), length_of_sleep(seconds, days, hours, minutes, until)
        return self._served(steps.sleep, length, name)

    def wait_for(self, name: str, timeout: Seconds | None = None) -> Any:
        """Returns the value of the signal `name`, which somebody gives the job with `scheduler.signal`, once.

        If it has not come yet, the attempt ends as in `sleep`, and the job begins again when it comes. After `timeout`
        seconds, from when the job first came here, SignalTimeoutError is raised; a signal that comes later is refused.
        InvalidOptionError for other values, InvalidStateError as `step` does.
        """
        limit = waiting_time(timeout)
        if limit is not None and limit < 0:
            raise InvalidOptionError(f"timeout must be 0 or more seconds, not {timeout!r:.60}")
        return self._served(self._steps("signals").wait_for, name, limit)

    def _served(self, method: Callable[..., Any], *args: Any) -> Any:
        """Calls a blocking method, or returns the coroutine of that for an async job."""
        return self._in_thread(method, *args) if self._is_async else method(*args)

    async def _in_thread(self, method: Callable[..., Any], *args: Any) -> Any:
        return await self._runtime.async_scheduler().threads.run(method, *args)

    async def _async_step(
        self, steps: AttemptSteps, name: str, function: Callable[..., Any], args: Any, named: dict[str, Any]
    ) -> Any:
        result = await self._in_thread(steps.recall, name)
        if result is not MISSING:
            return result
        try:
            answer = function(*args, **named)
            return await self._in_thread(steps.record, name, await answer if inspect.isawaitable(answer) else answer)
        except BaseException:
            steps.forget(name)
            raise

    @property
    def _is_async(self) -> bool:
        spec = type(self).__job__
        return spec is not None and spec.is_async

    def _steps(self, what: str) -> AttemptSteps:
        if self._is_service:
            raise InvalidStateError(_NOT_IN_A_SERVICE.format(what))
        self._check_alone(what)
        if self._runtime is None:
            raise SchedulerError(f"a job has {what} only while a worker runs it; in tests, run it with an InlineNode")
        if self._commits is not None and self._commits.is_open:
            raise InvalidStateError(f"{what} would conflict with commit(), which writes the job; leave its block first")
        kept = self._kept_steps
        if kept is None or not kept.belongs_to(self.id, self.attempt):  # a container may give one object again
            kept = self._kept_steps = AttemptSteps(self._runtime.scheduler().store, self.id, self.attempt)
        return kept
