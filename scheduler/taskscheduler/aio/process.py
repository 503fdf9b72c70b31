"""AsyncProcess: one job as a coroutine holds it; `await process` waits for its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Mapping
from typing import Any, Generic, Protocol

from bson import ObjectId

from taskscheduler.declarations.typed import R_co
from taskscheduler.model.attempts.stack import Stack
from taskscheduler.model.checks import Seconds
from taskscheduler.model.control.reasons import Reason
from taskscheduler.model.job_errors import raise_for_status
from taskscheduler.model.logs.lines import LogLine
from taskscheduler.model.process_state import AddOutcome, ProcessState


class AsyncInspecting(Protocol):
    """The part of `scheduler.inspect` that a process uses."""

    async def stack(self, job_id: ObjectId | str, timeout: Seconds = 10.0) -> Stack:
        """Returns where a running job is right now."""
        ...


class AsyncLogAccess(Protocol):
    """The part of `scheduler.logs` that a process uses."""

    def lines(self, job_id: ObjectId | str, attempt: int | None = None, follow: bool = False) -> AsyncIterator[LogLine]:
        """Yields the lines that a job has logged and printed. See Logs.lines."""
        ...


class AsyncJobAccess(Protocol):
    """The part of an asyncio scheduler that a process uses."""

    @property
    def logs(self) -> AsyncLogAccess:
        """What jobs have logged and printed."""
        ...

    async def get_job(self, job_id: ObjectId | str) -> AsyncProcess:
        """Returns the job with this id; JobNotFoundError if there is none."""
        ...

    async def cancel_job(self, job_id: ObjectId | str, only_queued: bool = False) -> bool:
        """Cancels a job. See Scheduler.cancel_job."""
        ...

    async def wait_for(
        self, processes: Iterable[AsyncProcess], throw: bool = False, timeout: Seconds | None = None
    ) -> list[AsyncProcess]:
        """Returns when all jobs have ended. See Scheduler.wait_for."""
        ...

    async def why(self, job_id: ObjectId | str) -> Reason:
        """Returns why a job does not run now. See Scheduler.why."""
        ...

    @property
    def inspect(self) -> AsyncInspecting:
        """Looks into running jobs."""
        ...


class AsyncProcess(ProcessState, Generic[R_co]):
    """A Process for asyncio: the same properties, coroutines instead of blocking methods.

    `await process` returns the process when it has ended, however it did; `await process.result()` the result of the
    job. To cancel a task that waits does nothing to the job.
    """

    def __init__(
        self, scheduler: AsyncJobAccess, document: Mapping[str, Any], outcome: AddOutcome | None = None
    ) -> None:
        super().__init__(document, outcome)
        self._scheduler = scheduler

    def __await__(self) -> Generator[Any, None, AsyncProcess[R_co]]:
        return self.wait().__await__()

    async def refresh(self) -> AsyncProcess[R_co]:
        """Reads the job again; JobNotFoundError if it was deleted."""
        self.replace((await self._scheduler.get_job(self._key)).to_dict())
        return self

    async def cancel(self, only_queued: bool = False) -> bool:
        """Cancels the job. See Process.cancel."""
        canceled = await self._scheduler.cancel_job(self._key, only_queued=only_queued)
        await self.refresh()
        return canceled

    async def wait(self, timeout: Seconds | None = None, throw: bool = False) -> AsyncProcess[R_co]:
        """Returns when the job is DONE, FAILED, CANCELED or TIMEOUT. See Scheduler.wait_for."""
        await self._scheduler.wait_for([self], throw=throw, timeout=timeout)
        return self

    async def result(self, timeout: Seconds | None = None) -> R_co:
        """Waits, then returns the job's result; JobFailedError, JobTimeoutError or JobCanceledError if it has none."""
        await self.wait(timeout=timeout, throw=True)
        result: R_co = self.result_value
        return result

    async def why(self) -> Reason:
        """Returns why the job does not run now. See Process.why."""
        return await self._scheduler.why(self.id_text)

    async def stack(self, timeout: Seconds = 10.0) -> Stack:
        """Returns where the job is right now. See Process.stack."""
        return await self._scheduler.inspect.stack(self._key, timeout)

    def logs(self, attempt: int | None = None, follow: bool = False) -> AsyncIterator[LogLine]:
        """Yields what the job has logged and printed. See Process.logs."""
        return self._scheduler.logs.lines(self.id_text, attempt, follow)

    def raise_for_status(self) -> None:
        """Raises the JobError that fits a job that ended in another way than DONE."""
        raise_for_status(self)


class AsyncProcesses:
    """Makes the processes that one asyncio scheduler hands out."""

    def __init__(self, scheduler: AsyncJobAccess) -> None:
        self._scheduler = scheduler

    def adopt(self, process: ProcessState) -> AsyncProcess:
        """Returns the same job, with the same outcome, for the event loop."""
        return AsyncProcess(self._scheduler, process.to_dict(), process.outcome)
