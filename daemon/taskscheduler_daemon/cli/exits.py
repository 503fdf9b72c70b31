"""Decides what the exit code of `taskscheduler` says, which error leads to which code, and what is said of it."""

from __future__ import annotations

from enum import IntEnum

from taskscheduler.errors import (
    AlreadyRunningError,
    DatabaseError,
    DuplicateJobError,
    EmbeddedServerError,
    InvalidDataError,
    InvalidJobError,
    InvalidOptionError,
    InvalidStateError,
    JobNotFoundError,
    ServiceNotFoundError,
    WaitTimeoutError,
)


class Exit(IntEnum):
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


CODES: tuple[tuple[tuple[type[Exception], ...], Exit], ...] = (
    ((InvalidOptionError, InvalidDataError, InvalidJobError), Exit.USAGE),
    ((JobNotFoundError, ServiceNotFoundError), Exit.NOT_FOUND),
    ((DatabaseError, EmbeddedServerError), Exit.DATABASE),
    ((DuplicateJobError, InvalidStateError), Exit.REFUSED),
    ((AlreadyRunningError,), Exit.ALREADY_RUNNING),
    ((WaitTimeoutError,), Exit.TIMED_OUT),
)


def exit_code(error: BaseException) -> Exit:
    """The exit code for an error that ends the command."""
    return next((code for classes, code in CODES if isinstance(error, classes)), Exit.FAILED)


def said(error: Exception) -> str:
    """What the command says of an error: its cure is a command, too."""
    if isinstance(error, ServiceNotFoundError):
        return f"Given service {error.name!r} does not exist; start it with: taskscheduler service start"
    return str(error)
