"""Takes what a job logs and writes to `sys.stdout` and `sys.stderr`, for the log of its attempt."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol, TextIO

from taskscheduler.model.logs.lines import STDERR, STDOUT

#: attributes of every record, and those that the log of an attempt need not repeat; all others were given as `extra`
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "taskName", "job", "job_name", "attempt", "batched",
}  # fmt: skip

_LONGEST_VALUE = 500  #: characters


class RecordSink(Protocol):
    """Takes log records."""

    def record(self, record: logging.LogRecord) -> None:
        """Takes a record that was logged in this process."""
        ...


class TextSink(Protocol):
    """Takes what is printed."""

    def printed(self, stream: str, text: str) -> None:
        """Takes text that was written to "stdout" or "stderr"."""
        ...


def text_of(record: logging.LogRecord) -> str:
    """Returns the message of a record with what was given as `extra`, and its traceback."""
    try:
        message = record.getMessage()
    except Exception as error:  # wrong arguments, or an object that cannot be shown
        message = f"{record.msg!s:.500} [cannot be formatted: {type(error).__name__}]"
    extra = "".join(f" {name}={_shown(value)}" for name, value in vars(record).items() if name not in _STANDARD)
    parts = [message + extra]
    if record.exc_info:
        parts.append("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
    elif record.exc_text:
        parts.append(record.exc_text)
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)


def _shown(value: Any) -> str:
    try:
        return str(value)[:_LONGEST_VALUE]
    except Exception as error:
        return f"[{type(error).__name__}]"


class RecordTap:
    """Gives each record that is logged in this process to a sink, then to the handlers that would have it without.

    It stands where all loggers pass: a handler would miss those that do not propagate, and go when a job configures
    logging. While it is in place, INFO is logged also where nobody has configured a level; handlers do not see that.
    """

    def __init__(self, sink: RecordSink) -> None:
        self._sink = sink
        self._state = threading.local()
        self._usual = logging.Logger.callHandlers
        self._level = logging.WARNING

    def install(self) -> None:
        """Puts it in place."""
        tap, self._usual, self._level = self, logging.Logger.callHandlers, logging.root.level

        def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            tap._take(logger, record)

        logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign, assignment]  # all pass here
        if self._level > logging.INFO:
            logging.root.setLevel(logging.INFO)

    def remove(self) -> None:
        """Takes it away again."""
        logging.Logger.callHandlers = self._usual  # type: ignore[method-assign]
        if self._level > logging.INFO and logging.root.level == logging.INFO:
            logging.root.setLevel(self._level)

    @property
    def is_handling(self) -> bool:
        """Whether handlers are at work in this thread: what they print is the record once more."""
        return getattr(self._state, "depth", 0) > 0

    def _take(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        depth = getattr(self._state, "depth", 0)
        self._state.depth = depth + 1
        try:
            if not depth:  # else a handler logs, or an object that is shown
                self._sink.record(record)
            if record.levelno >= self._level or not _by_default(logger):
                self._usual(logger, record)
        finally:
            self._state.depth = depth


def _by_default(logger: logging.Logger) -> bool:
    """Whether the level of a logger is that of the root."""
    at: logging.Logger | None = logger
    while at is not None and at is not logging.root:
        if at.level:
            return False
        at = at.parent
    return True


class TeeStream:
    """A standard stream that also gives what is written to it to a sink. In all else it is the stream."""

    def __init__(self, stream: TextIO, name: str, sink: TextSink, tap: RecordTap) -> None:
        self._stream = stream
        self._name = name
        self._sink = sink
        self._tap = tap

    def write(self, text: str, /) -> int:
        """Writes to the stream and to the sink; only to the stream what the handlers of a logger write."""
        written = self._stream.write(text)
        if not self._tap.is_handling:
            self._sink.printed(self._name, text)
        return written

    def writelines(self, lines: Iterable[str], /) -> None:
        """Writes each of these texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)


class Recording:
    """A block in which this process gives a sink what is logged and printed in Python, beside where that goes."""

    def __init__(self, sink: Any) -> None:
        """`sink` is both a RecordSink and a TextSink."""
        self._sink = sink
        self._steps = ExitStack()

    def __enter__(self) -> None:
        tap = RecordTap(self._sink)
        tap.install()
        self._steps.callback(tap.remove)
        for attribute, name in (("stdout", STDOUT), ("stderr", STDERR)):
            stream = getattr(sys, attribute)
            if stream is not None:
                setattr(sys, attribute, TeeStream(stream, name, self._sink, tap))
                self._steps.callback(setattr, sys, attribute, stream)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._steps.close()
