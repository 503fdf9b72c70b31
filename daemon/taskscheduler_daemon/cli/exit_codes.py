"""The exit codes of `taskscheduler`, the errors that lead to them, and the line that explains an error."""

from __future__ import annotations

from enum import IntEnum

from taskscheduler.errors import (
    DatabaseError,
    DuplicateJobError,
    EmbeddedServerError,
    FlowNotFoundError,
    InvalidDataError,
    InvalidJobError,
    InvalidOptionError,
    InvalidStateError,
    JobNotFoundError,
    NoAnswerError,
    NodeNotFoundError,
    NotPermittedError,
    ScheduleNotFoundError,
    SchedulerError,
    ServiceNotFoundError,
    WaitTimeoutError,
)
from taskscheduler.model.job_errors import AlreadyRunningError
from taskscheduler_daemon.presentation.terminal import one_line

_EXTRAS = {
    "posix_ipc": "daemon",
    "click": "cli",
    "rich": "cli",
    "fastapi": "web",
    "uvicorn": "web",
    "jinja2": "web",
    "mcp": "mcp",
}


class ExitCode(IntEnum):
    """The exit codes of the command, documented in its help."""

    OK = 0
    FAILED = 1  #: a job failed, or only a part was done
    USAGE = 2  #: wrong options or arguments
    NOT_FOUND = 3  #: no such job, flow, service, schedule or node
    DATABASE = 4  #: MongoDB cannot be reached or refuses us
    REFUSED = 5  #: not allowed, or not confirmed
    ALREADY_RUNNING = 75  #: a solo program runs already; EX_TEMPFAIL of sysexits
    TIMED_OUT = 124  #: the wait ended before the job; as timeout(1) does
    INTERRUPTED = 130  #: Ctrl-C


CODES: tuple[tuple[tuple[type[Exception], ...], ExitCode], ...] = (
    ((InvalidOptionError, InvalidDataError, InvalidJobError), ExitCode.USAGE),
    (
        (JobNotFoundError, FlowNotFoundError, NodeNotFoundError, ServiceNotFoundError, ScheduleNotFoundError),
        ExitCode.NOT_FOUND,
    ),
    ((DatabaseError, EmbeddedServerError), ExitCode.DATABASE),
    ((DuplicateJobError, InvalidStateError, NotPermittedError), ExitCode.REFUSED),
    ((AlreadyRunningError,), ExitCode.ALREADY_RUNNING),
    ((WaitTimeoutError, NoAnswerError), ExitCode.TIMED_OUT),
)


def exit_code(error: BaseException) -> ExitCode:
    """Returns the exit code for an error that ends the command."""
    return next((code for classes, code in CODES if isinstance(error, classes)), ExitCode.FAILED)


def failure(error: Exception) -> tuple[ExitCode, str]:
    """Returns the exit code for an error that ends the command, and a line with the error and its cure."""
    if isinstance(error, SchedulerError):
        return exit_code(error), one_line("; ".join([_message(error), *getattr(error, "__notes__", ())]))
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        extra = f"mongo-taskscheduler[{_EXTRAS[error.name]}]"
        return ExitCode.USAGE, f"{error.name} is not installed; run: pip install '{extra}'"
    if isinstance(error, OSError):
        return ExitCode.FAILED, one_line(str(error))
    hint = "this is a bug; -v shows where it happened"
    return ExitCode.FAILED, f"unexpected {type(error).__name__}: {one_line(str(error))} ({hint})"


def _message(error: SchedulerError) -> str:
    """Returns the text of an error, with a command as its cure."""
    if isinstance(error, ServiceNotFoundError):
        return f"Given service {error.name!r} does not exist; start it with: taskscheduler service start"
    if isinstance(error, NodeNotFoundError):
        return f"no node {error.name!r:.120} runs; list them with: taskscheduler nodes"
    if isinstance(error, ScheduleNotFoundError):
        return f"there is no schedule {error.name!r:.120}; add it with: taskscheduler schedule add"
    if isinstance(error, FlowNotFoundError):
        return f"there is no flow {error.flow_id!s:.120}; list them with: taskscheduler flow list"
    return str(error)
