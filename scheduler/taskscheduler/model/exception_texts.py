"""Texts of exceptions, to be stored or logged: they can be made of any exception, whatever its own code does."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LONGEST_TRACEBACK = 8 * 1024

LONGEST_MESSAGE = 2 * 1024

_LONGEST_NAME = 500

#: modules whose exceptions are named without their module
_PLAIN = (
    "builtins",
    "taskscheduler.errors",
    "taskscheduler.model.job_errors",
    "taskscheduler_daemon.system.resource_limits",
)


class JobInterrupted(BaseException):
    """Raised inside a job that has to end now; not an Exception, so that jobs do not catch it by accident."""


def type_of(error: BaseException) -> str:
    """Returns the name of the type of an exception, with its module unless that is well known."""
    return _cut(_tried(lambda: _name(type(error)), lambda: "an exception without a name"), _LONGEST_NAME)


def message_of(error: BaseException) -> str:
    """Returns the text of an exception, at most 2 KB of it."""
    return _cut(_tried(lambda: str(error), lambda: "(its text could not be made)"), LONGEST_MESSAGE)


def traceback_of(error: BaseException) -> str:
    """Returns the last 8 KB of the traceback of an exception; without source lines if these cannot be had."""
    text = _tried(lambda: "".join(traceback.format_exception(error)), lambda: _places(error))
    return text.encode(errors="replace")[-LONGEST_TRACEBACK:].decode(errors="ignore")


def loggable(error: BaseException) -> BaseException:
    """Returns an exception to be logged: this one, or one with the same text if its traceback cannot be formatted."""
    return _tried(lambda: _formatted(error), lambda: RuntimeError(f"an exception was raised\n{_places(error)}"))


def _tried(make: Callable[[], T], instead: Callable[[], T]) -> T:
    """Returns what `make` makes. It runs code of the exception, and must not end the one who asks for the text."""
    try:
        return make()
    except JobInterrupted:
        raise
    except BaseException:
        return instead()


def _cut(text: str, longest: int) -> str:
    """Returns the beginning of a text as a plain one that can be stored."""
    return str.__str__(text)[:longest].encode(errors="replace").decode()


def _name(kind: type[BaseException]) -> str:
    return kind.__name__ if kind.__module__ in _PLAIN else f"{kind.__module__}.{kind.__qualname__}"


def _formatted(error: BaseException) -> BaseException:
    traceback.format_exception(error)
    return error


def _places(error: BaseException) -> str:
    """Returns a traceback for which nothing is asked but the frames: neither source files nor the exception itself."""
    lines, trace = ["Traceback (most recent call last):"], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        lines.append(f'  File "{code.co_filename}", line {trace.tb_lineno}, in {code.co_name}')
        trace = trace.tb_next
    return "\n".join([*lines, f"{type_of(error)}: {message_of(error)}", ""])
