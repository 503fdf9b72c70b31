"""Process: one job as a program holds it: refresh, cancel, wait, result, future."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Generic, Protocol

from bson import ObjectId

from taskscheduler.declarations.typed import R_co
from taskscheduler.model.attempts.stack import Stack
from taskscheduler.model.checks import Seconds
from taskscheduler.model.control.reasons import Reason
from taskscheduler.model.job_errors import raise_for_status
from taskscheduler.model.logs.lines import LogLine
from taskscheduler.model.process_state import AddOutcome, ProcessState


class Inspecting(Protocol):
    """The part of `scheduler.inspect` that a process uses."""

    def stack(self, job_id: ObjectId | str, timeout: Seconds = 10.0) -> Stack:
        """Returns where a running job is right now."""
        ...


class LogAccess(Protocol):
    """The part of `scheduler.logs` that a process uses."""

    def lines(self, job_id: ObjectId | str, attempt: int | None = None, follow: bool = False) -> Iterator[LogLine]:
        """Returns the lines that a job has logged and printed. See Logs.lines."""
        ...


class JobAccess(Protocol):
    """The part of a scheduler that a process uses."""

    @property
    def logs(self) -> LogAccess:
        """What jobs have logged and printed."""
        ...

    def get_job(self, job_id: ObjectId | str) -> Process:
        """Returns the job with this id; JobNotFoundError if there is none."""
        ...

    def cancel_job(self, job_id: ObjectId | str, only_queued: bool = False) -> bool:
        """Cancels a job. See Scheduler.cancel_job."""
        ...

    def wait_for(
        self, processes: Iterable[Process], throw: bool = False, timeout: Seconds | None = None
    ) -> list[Process]:
        """Blocks until all jobs have ended. See Scheduler.wait_for."""
        ...

    def why(self, job_id: ObjectId | str) -> Reason:
        """Returns why a job does not run now. See Scheduler.why."""
        ...

    def future(self, process: Process) -> Future[Any]:
        """Returns the result of a job as a future. See Scheduler.future."""
        ...

    @property
    def inspect(self) -> Inspecting:
        """Looks into running jobs."""
        ...


class Process(ProcessState, Generic[R_co]):
    """One job: its data and options, how far it is, and how it ended. A snapshot until `refresh` or `wait`.

    Type checkers know a `Process[R]`, whose result is an R, from jobs that were added with `submit` or `options`.
    """

    def __init__(self, scheduler: JobAccess, document: Mapping[str, Any], outcome: AddOutcome | None = None) -> None:
        super().__init__(document, outcome)
        self._scheduler = scheduler

    def refresh(self) -> Process[R_co]:
        """Reads the job again; JobNotFoundError if it was deleted."""
        self.replace(self._scheduler.get_job(self._key).to_dict())
        return self

    def cancel(self, only_queued: bool = False) -> bool:
        """Cancels the job: it never starts, or is killed if it runs. See Scheduler.cancel_job.

        With `only_queued` a job that runs is left alone, and the answer is whether the call came before its start.
        """
        canceled = self._scheduler.cancel_job(self._key, only_queued=only_queued)
        self.refresh()
        return canceled

    def wait(self, timeout: Seconds | None = None, throw: bool = False) -> Process[R_co]:
        """Blocks until the job is DONE, FAILED, CANCELED or TIMEOUT. See Scheduler.wait_for."""
        self._scheduler.wait_for([self], throw=throw, timeout=timeout)
        return self

    def result(self, timeout: Seconds | None = None) -> R_co:
        """Waits, then returns the job's result; JobFailedError, JobTimeoutError or JobCanceledError if it has none."""
        self.wait(timeout=timeout, throw=True)
        result: R_co = self.result_value
        return result

    def why(self) -> Reason:
        """Returns why the job does not run now, in a word and a sentence; or that it runs, or has ended."""
        return self._scheduler.why(self.id_text)

    def stack(self, timeout: Seconds = 10.0) -> Stack:
        """Returns where the job is right now, as its node says within `timeout` seconds. See Inspection.stack."""
        return self._scheduler.inspect.stack(self._key, timeout)

    def logs(self, attempt: int | None = None, follow: bool = False) -> Iterator[LogLine]:
        """Returns what the job has logged and printed, line by line: in one attempt, or in all of them.

        With `follow`, blocks for more until the job has ended. InvalidOptionError, JobNotFoundError. See Logs.lines.
        """
        return self._scheduler.logs.lines(self.id_text, attempt, follow)

    def raise_for_status(self) -> None:
        """Raises the JobError that fits a job that ended in another way than DONE."""
        raise_for_status(self)

    def future(self) -> Future[R_co]:
        """Returns the job's result as a future for `concurrent.futures`. See JobFuture."""
        return self._scheduler.future(self)


class Processes:
    """Makes the processes that one scheduler hands out."""

    def __init__(self, scheduler: JobAccess) -> None:
        self._scheduler = scheduler

    def process(self, document: Mapping[str, Any], outcome: AddOutcome | None = None) -> Process:
        """Returns the process for a stored job."""
        return Process(self._scheduler, document, outcome)
