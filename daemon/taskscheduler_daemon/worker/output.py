"""The output of a worker: what its jobs log and print goes to its pipes, with notes about whose it is.

A job that neither logs nor prints costs a look at each pipe. Raw bytes carry no name, so the worker ends them with a
frame as soon as they are those of somebody else; until then the node knows from the page whose they are.
"""

from __future__ import annotations

import io
import logging
import os
import select
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from fcntl import ioctl
from itertools import count
from termios import FIONREAD
from typing import Any, TextIO

from taskscheduler.clock import Clock
from taskscheduler.jobs.output import RecordTap, text_of
from taskscheduler_daemon.ipc.output import NOBODY, Frame, FrameKind, encode, record_payload
from taskscheduler_daemon.ipc.output_pipes import ERR, OUT, PIPES, WorkerPipes
from taskscheduler_daemon.system.standard_streams import mark

Key = tuple[bytes, int]  #: a job and its attempt, or a batch and 1

_STREAMS = {OUT: 1, ERR: 2}  #: the standard streams by their pipes

_NONE = bytes(4)  #: how many bytes are unread, as the system says it, if none are

_ASYNC: ContextVar[Key | None] = ContextVar("attempt", default=None)  #: the async attempt whose code runs


class WorkerOutput:
    """Notes whose output comes, and sends log records. Safe to use from many threads of a job."""

    def __init__(self, pipes: WorkerPipes, clock: Clock) -> None:
        self._writers = pipes.writers
        self._page = pipes.page
        self._capture = pipes.capture
        self._clock = clock
        self._tap = RecordTap(self)
        self._numbers = count()
        self._current: Key | None = None  #: the ordinary run
        self._logged = False  #: whether the last ordinary run had output
        self._async: dict[Key, set[int]] = {}  #: the async runs, and the pipes that have frames of them
        self._printed_to = OUT  #: the pipe that Python printed to last
        self._unread = bytearray(4)

    def start(self) -> None:
        """Takes over the standard streams and the log records of this process."""
        if self._capture:
            self._take_streams()
        self._tap.install()

    def _take_streams(self) -> None:
        for pipe, stream in _STREAMS.items():
            name = "stdout" if pipe == OUT else "stderr"
            former = getattr(sys, name)
            if former is None:
                continue
            try:
                file = io.FileIO(os.dup(stream), "w")
            except OSError:
                continue  # it is closed, and stays so
            original = io.TextIOWrapper(_Prompt(file), "utf-8", "backslashreplace", write_through=True)
            os.dup2(self._writers[pipe], stream)
            mark(stream)
            for handler in _handlers_on(former):
                handler.setStream(original)
            setattr(sys, name, JobStream(stream, pipe, original, self))

    # -- ordinary runs -------------------------------------------------------------------------------------------------

    def begin(self, key: Key) -> None:
        """Notes that an ordinary run begins."""
        self._current, self._logged = key, False
        self._page.turn(*key)

    def end(self) -> bool:
        """Notes the end of the ordinary run; returns whether it had output. May be called again."""
        key = self._current
        if key is not None:
            if not self._ends_quietly():
                if pipes := self._touched():
                    self._logged = True
                    self._end(key, pipes)
                self._page.turn_to_nobody()
            self._current = None
        return self._logged

    def _ends_quietly(self) -> bool:
        """Turns to nobody if no pipe is `_touched`, which is so for most jobs: told in a third of the time."""
        (out, err), unread = self._writers, self._unread
        ioctl(out, FIONREAD, unread)
        if unread != _NONE:
            return False
        ioctl(err, FIONREAD, unread)
        return unread == _NONE and self._page.turn_if_ended()

    # -- async runs ----------------------------------------------------------------------------------------------------

    def begin_async(self, key: Key) -> None:
        """Notes that the task that calls this is an async run. Raw bytes are of it while it is the only one."""
        _ASYNC.set(key)
        self._async[key] = set()
        self._turn_async()

    def end_async(self, key: Key) -> bool:
        """Notes the end of an async run; returns whether it had output."""
        pipes = self._async.pop(key, None)
        if pipes is None:
            return False
        if self._page.current() == key:
            pipes |= self._touched()
        if pipes:
            self._end(key, pipes)
        self._turn_async()
        return bool(pipes)

    def _turn_async(self) -> None:
        current = self._page.current()
        alone = next(iter(self._async)) if len(self._async) == 1 else None
        if current != alone:
            for pipe in self._touched():
                self._send(pipe, Frame(FrameKind.END, *(current or (NOBODY, 0)), self._now()))
            if alone is None:
                self._page.turn_to_nobody()
            else:
                self._page.turn(*alone)

    # -- what comes from the job ---------------------------------------------------------------------------------------

    def record(self, record: logging.LogRecord) -> None:
        """Sends a log record of a running job."""
        key = self._owner(record)
        if key is None:
            return
        payload = record_payload(record.levelname, record.name, text_of(record))
        if OUT in self._touched((OUT,)):
            self._tick(OUT)  # what the job or a child of it has printed before comes before
        # not the time of the record, which is before that of the tick
        self._send_from(key, ERR, Frame(FrameKind.RECORD, *key, self._now(), payload, self._number()))
        self._printed_to = ERR

    def _owner(self, record: logging.LogRecord) -> Key | None:
        """Returns whose record it is; of several async runs it is not known in a thread that no task has started."""
        key = _ASYNC.get() or self._current
        if key is not None:
            return key
        if len(self._async) == 1:
            return next(iter(self._async))
        named = getattr(record, "job", None), getattr(record, "attempt", None)
        return next((one for one in self._async if (one[0].hex(), one[1]) == named), None)

    def printed(self, pipe: int, text: str) -> bool:
        """Sends what an async run has printed; False if it is to be written to the pipe as it is."""
        key = _ASYNC.get()
        if key is None or key not in self._async:
            if pipe != self._printed_to:
                self._tick(self._printed_to)  # so that the order of the two streams is known, whenever each is read
                self._tick(pipe)
                self._printed_to = pipe
            return False
        payload = text.encode(errors="backslashreplace")
        self._send_from(key, pipe, Frame(FrameKind.TEXT, *key, self._now(), payload, self._number()))
        return True

    @property
    def is_handling(self) -> bool:
        """Whether handlers of a logger are at work in this thread."""
        return self._tap.is_handling

    # -- frames --------------------------------------------------------------------------------------------------------

    def _touched(self, pipes: tuple[int, ...] = PIPES) -> set[int]:
        """Returns the pipes with output that no END has come after: it is there, or was read.

        In this order: the node notes that it reads before it does.
        """
        return {pipe for pipe in pipes if self._has_unread(pipe) or self._page.has_unended(pipe)}

    def _has_unread(self, pipe: int) -> bool:
        ioctl(self._writers[pipe], FIONREAD, self._unread, True)
        return self._unread != _NONE

    def _end(self, key: Key, pipes: set[int]) -> None:
        payload = bytes(sorted(pipes))
        for pipe in pipes:
            self._send(pipe, Frame(FrameKind.END, *key, self._now(), payload))

    def _tick(self, pipe: int) -> None:
        self._send(pipe, Frame(FrameKind.TICK, NOBODY, 0, self._now()))

    def _send_from(self, key: Key, pipe: int, frame: Frame) -> None:
        if key in self._async:
            self._async[key].add(pipe)
        self._send(pipe, frame)

    def _send(self, pipe: int, frame: Frame) -> None:
        """Writes a frame, and waits until there is room. Without a node that reads, nothing is written."""
        for part in encode(frame):
            while True:
                try:
                    os.write(self._writers[pipe], part)
                    break
                except BlockingIOError:  # a job has made its standard error so
                    select.select([], [self._writers[pipe]], [])
                except OSError:
                    return

    def _number(self) -> int:
        """Returns the number of a message: others are those of other threads, and of forks of the job."""
        return (os.getpid() << 16 ^ next(self._numbers)) & 0xFFFFFFFF

    def _now(self) -> float:
        return self._clock.now().timestamp()


class _Prompt(io.BufferedWriter):
    """Keeps nothing back: the process may be killed at any moment."""

    def write(self, data: Any, /) -> int:
        written = super().write(data)
        self.flush()
        return written


class JobStream(io.TextIOWrapper):
    """A standard stream of a worker."""

    def __init__(self, descriptor: int, pipe: int, original: TextIO, output: WorkerOutput) -> None:
        """`original` is where it went before: handlers of loggers still write there."""
        raw = io.FileIO(descriptor, "w", closefd=False)
        raw.name = "<stdout>" if pipe == OUT else "<stderr>"
        super().__init__(_Prompt(raw), encoding="utf-8", errors="backslashreplace", write_through=True)
        self._pipe = pipe
        self._original = original
        self._output = output

    def write(self, text: str, /) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        if self._output.is_handling:
            return self._original.write(text)
        if isinstance(text, str) and self._output.printed(self._pipe, text):
            return len(text)
        return super().write(text)


def _handlers_on(stream: Any) -> Iterator[logging.StreamHandler[Any]]:
    """Yields the handlers of all loggers that write to this stream."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler) and handler.stream is stream:
                yield handler
