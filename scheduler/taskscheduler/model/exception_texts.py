"""Texts of exceptions, to be stored or logged: they can be made of any exception, whatever its own code does."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TypeGuard, TypeVar

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

LONGEST_TRACEBACK = 8 * 1024

LONGEST_MESSAGE = 2 * 1024

_LONGEST_NAME = 500

#: modules whose exceptions are named without their module
_PLAIN = (
    "builtins",
    "taskscheduler.errors",
    "taskscheduler.model.job_errors",
    "taskscheduler.model.raised",
    "taskscheduler_daemon.system.resource_limits",
)


class JobInterrupted(BaseException):
    """Raised inside a job that has to end now; not an Exception, so that jobs do not catch it by accident."""


def type_of(error: BaseException) -> str:
    """Returns the name of the type of an exception, with its module unless that is well known."""
    return cut(tried(lambda: _name(type(error)), lambda: "an exception without a name"))


def message_of(error: BaseException) -> str:
    """Returns the text of an exception, at most 2 KB of it."""
    return cut(tried(lambda: str(error), lambda: "(its text could not be made)"), LONGEST_MESSAGE)


def is_a(error: BaseException, kind: type[E]) -> TypeGuard[E]:
    """Returns whether an exception is of this class. Unlike `isinstance` it runs no code of the exception."""
    return issubclass(type(error), kind)


def is_one_of(error: BaseException, kinds: tuple[type[BaseException], ...]) -> bool:
    """Returns whether an exception is of one of these classes; False if code of such a class raises when asked."""
    return tried(lambda: issubclass(type(error), kinds), lambda: False)


def traceback_of(error: BaseException) -> str:
    """Returns the last 8 KB of the traceback of an exception; without source lines if these cannot be had."""
    text = tried(lambda: "".join(traceback.format_exception(error)), lambda: _places(error))
    return text.encode(errors="replace")[-LONGEST_TRACEBACK:].decode(errors="ignore")


def loggable(error: BaseException) -> BaseException:
    """Returns an exception to be logged: this one, or one with the same text if its traceback cannot be formatted."""
    return tried(lambda: _formatted(error), lambda: RuntimeError(f"an exception was raised\n{_places(error)}"))


def try_to_log(log: Callable[..., None], text: str, *values: object, **options: object) -> None:
    """Writes a line to the log where code of users has run, which may have closed the stream that the log goes to."""
    tried(lambda: log(text, *values, **options), lambda: None)


def tried(make: Callable[[], T], instead: Callable[[], T]) -> T:
    """Returns what `make` makes. It runs code of the exception, and must not end the one who asks for the text."""
    try:
        return make()
    except JobInterrupted:
        raise
    except BaseException:
        return instead()


def cut(text: str, longest: int = _LONGEST_NAME) -> str:
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
