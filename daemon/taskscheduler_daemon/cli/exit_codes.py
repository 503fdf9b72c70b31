"""Decides what the exit code of `taskscheduler` says, which error leads to which code, and what is said of it."""

from __future__ import annotations

from enum import IntEnum

from taskscheduler.errors import (
    DatabaseError,
    DuplicateJobError,
    EmbeddedServerError,
    InvalidDataError,
    InvalidJobError,
    InvalidOptionError,
    InvalidStateError,
    JobNotFoundError,
    SchedulerError,
    ServiceNotFoundError,
    WaitTimeoutError,
)
from taskscheduler.model.job_errors import AlreadyRunningError
from taskscheduler_daemon.presentation.terminal import one_line

_EXTRAS = {"posix_ipc": "daemon", "click": "cli", "rich": "cli", "fastapi": "web", "uvicorn": "web", "jinja2": "web"}


class ExitCode(IntEnum):
    """The exit codes of the command, documented in its help."""

    OK = 0
    FAILED = 1  #: a job failed, or only a part was done
    USAGE = 2  #: wrong options or arguments
    NOT_FOUND = 3  #: no such job or service
    DATABASE = 4  #: MongoDB cannot be reached or refuses us
    REFUSED = 5  #: not done, because it was not allowed or confirmed
    ALREADY_RUNNING = 75  #: a solo program was not started; as EX_TEMPFAIL of sysexits
    TIMED_OUT = 124  #: the wait ended before the job; as timeout(1)
    INTERRUPTED = 130  #: Ctrl-C


CODES: tuple[tuple[tuple[type[Exception], ...], ExitCode], ...] = (
    ((InvalidOptionError, InvalidDataError, InvalidJobError), ExitCode.USAGE),
    ((JobNotFoundError, ServiceNotFoundError), ExitCode.NOT_FOUND),
    ((DatabaseError, EmbeddedServerError), ExitCode.DATABASE),
    ((DuplicateJobError, InvalidStateError), ExitCode.REFUSED),
    ((AlreadyRunningError,), ExitCode.ALREADY_RUNNING),
    ((WaitTimeoutError,), ExitCode.TIMED_OUT),
)


def exit_code(error: BaseException) -> ExitCode:
    """The exit code for an error that ends the command."""
    return next((code for classes, code in CODES if isinstance(error, classes)), ExitCode.FAILED)


def failure(error: Exception) -> tuple[ExitCode, str]:
    """The exit code for an error that ends the command, and the line that says what is wrong and what helps."""
    if isinstance(error, SchedulerError):
        return exit_code(error), one_line(_said(error))
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
        return ExitCode.USAGE, f"{error.name} is missing; pip install 'mongo-taskscheduler[{_EXTRAS[error.name]}]'"
    if isinstance(error, OSError):
        return ExitCode.FAILED, one_line(str(error))
    hint = "this is a bug; -v shows where it happened"
    return ExitCode.FAILED, f"unexpected {type(error).__name__}: {one_line(str(error))} ({hint})"


def _said(error: SchedulerError) -> str:
    """On the command line the cure is a command, too."""
    if isinstance(error, ServiceNotFoundError):
        return f"Given service {error.name!r} does not exist; start it with: taskscheduler service start"
    return str(error)
