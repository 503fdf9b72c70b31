"""`AsyncProcess`: a job as the asyncio twin of the scheduler knows it; `await process` waits for its end."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from taskscheduler.model.checks import Seconds
from taskscheduler.model.job_errors import raise_for_status
from taskscheduler.model.process_state import AddOutcome, ProcessState

if TYPE_CHECKING:
    from taskscheduler.aio.scheduler import AsyncScheduler


class AsyncProcess(ProcessState):
    """A Process for asyncio: the same properties, coroutines instead of blocking methods.

    `await process` gives the process when it has ended, however it did; `await process.result()` what the job
    returned. To cancel a task that waits does nothing to the job.
    """

    def __init__(
        self, scheduler: AsyncScheduler, document: Mapping[str, Any], outcome: AddOutcome | None = None
    ) -> None:
        super().__init__(document, outcome)
        self._scheduler = scheduler

    def __await__(self) -> Generator[Any, None, AsyncProcess]:
        return self.wait().__await__()

    async def refresh(self) -> AsyncProcess:
        """Read the job again; JobNotFoundError if it was deleted."""
        self.replace((await self._scheduler.get_job(self.id)).to_dict())
        return self

    async def cancel(self, only_queued: bool = False) -> bool:
        """Cancel the job. See Process.cancel."""
        canceled = await self._scheduler.cancel_job(self.id, only_queued=only_queued)
        await self.refresh()
        return canceled

    async def wait(self, timeout: Seconds | None = None, throw: bool = False) -> AsyncProcess:
        """Return when the job is DONE, FAILED, CANCELED or TIMEOUT. See AsyncScheduler.wait_for."""
        await self._scheduler.wait_for([self], throw=throw, timeout=timeout)
        return self

    async def result(self, timeout: Seconds | None = None) -> Any:
        """Wait, then give what the job returned; JobFailedError, JobTimeoutError or JobCanceledError if it did not."""
        await self.wait(timeout=timeout, throw=True)
        return self.result_value

    def raise_for_status(self) -> None:
        """Raise the JobError that fits a job that ended in another way than DONE."""
        raise_for_status(self)
