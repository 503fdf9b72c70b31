"""`Process`: a job as the scheduler knows it, read from its document; `ProcessState`: what was read."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from taskscheduler.model.checks import Seconds
from taskscheduler.model.job_errors import raise_for_status
from taskscheduler.model.process_state import AddOutcome, ProcessState

if TYPE_CHECKING:
    from taskscheduler.scheduler import Scheduler


class Process(ProcessState):
    """One job: its data and options, how far it is, and how it ended. A snapshot until `refresh` or `wait`."""

    def __init__(self, scheduler: Scheduler, document: Mapping[str, Any], outcome: AddOutcome | None = None) -> None:
        super().__init__(document, outcome)
        self._scheduler = scheduler

    def refresh(self) -> Process:
        """Read the job again; JobNotFoundError if it was deleted."""
        self.replace(self._scheduler.get_job(self.id).to_dict())
        return self

    def cancel(self, only_queued: bool = False) -> bool:
        """Cancel the job: it never starts, or is killed if it runs. See Scheduler.cancel_job.

        With `only_queued` a job that runs is left alone, and the answer is whether the call came before its start.
        """
        canceled = self._scheduler.cancel_job(self.id, only_queued=only_queued)
        self.refresh()
        return canceled

    def wait(self, timeout: Seconds | None = None, throw: bool = False) -> Process:
        """Block until the job is DONE, FAILED, CANCELED or TIMEOUT. See Scheduler.wait_for."""
        self._scheduler.wait_for([self], throw=throw, timeout=timeout)
        return self

    def result(self, timeout: Seconds | None = None) -> Any:
        """Wait, then give what the job returned; JobFailedError, JobTimeoutError or JobCanceledError if it did not."""
        self.wait(timeout=timeout, throw=True)
        return self.result_value

    def raise_for_status(self) -> None:
        """Raise the JobError that fits a job that ended in another way than DONE."""
        raise_for_status(self)

    def future(self) -> Future[Any]:
        """The job's result as a future for `concurrent.futures`. See JobFuture."""
        return self._scheduler.future(self)
