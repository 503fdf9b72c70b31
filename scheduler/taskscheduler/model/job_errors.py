"""Errors that carry a job, and which one a final status stands for."""

from __future__ import annotations

from taskscheduler.errors import SchedulerError
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.process_state import ProcessState


class AlreadyRunningError(SchedulerError):
    """A solo program was not started, since another one with its key is at work; nothing was written."""

    def __init__(self, process: ProcessState) -> None:
        pid = (process.program or {}).get("pid")
        since = f"{process.started:%Y-%m-%d %H:%M:%S} UTC" if process.started else "a moment ago"
        super().__init__(
            f"A job of type {process.job} is already {'running' if process.started else 'about to run'} solo since "
            f"{since} with id {process.id}"
            + (f" and pid {pid} on {process.node}." if pid else f" on node {process.node}." if process.node else ".")
        )
        self.process = process


class JobError(SchedulerError):
    """A job ended in another way than DONE."""

    def __init__(self, message: str, process: ProcessState) -> None:
        super().__init__(message)
        self.process = process


class JobFailedError(JobError):
    """The job raised an exception or its workers died too often; see `process.error`."""


class JobTimeoutError(JobError):
    """The job ran longer than its option `timeout`, or was silent for `silence_timeout`, and was killed."""


class JobCanceledError(JobError):
    """The job was cancelled, or has not started by the time that its option `start_by` says."""


def raise_for_status(process: ProcessState) -> None:
    """Raises the JobError that fits a job that ended in another way than DONE."""
    failure = error_for_status(process)
    if failure is not None:
        raise failure


def error_for_status(process: ProcessState) -> JobError | None:
    """Returns the error for the final status of a job; None for DONE and for jobs that have not ended."""
    name = f"job {process.job} {process.id}"
    if process.status is Status.CANCELED:
        return JobCanceledError(f"{name} was cancelled{_why_canceled(process)}", process)
    if process.status is Status.TIMEOUT and (process.error or {}).get("type") == "SilenceError":
        return JobTimeoutError(f"{name} gave {(process.error or {}).get('message')}", process)
    if process.status is Status.TIMEOUT:
        error, reason = process.error or {}, f"ran longer than {process.options.get('timeout')} s"
        if error.get("type") == "JobTimeoutError":
            reason = str(error.get("message"))
        return JobTimeoutError(f"{name} {reason} and was killed", process)
    if process.status is Status.FAILED:
        error = process.error or {}
        why = ": ".join(str(part) for part in (error.get("type"), error.get("message")) if part)
        return JobFailedError(f"{name} failed" + (f": {why}" if why else ""), process)
    return None


def _why_canceled(process: ProcessState) -> str:
    error = process.error or {}
    if error.get("type") == "ExpiredError":
        return f": {error.get('message')}"
    return "" if process.reason is None else f": {process.reason}"
