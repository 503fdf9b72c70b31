"""Decides how the demo is asked to end: signals become a flag, and end a wait at once, but never break into work."""

from __future__ import annotations

import queue
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptibleQueue(Generic[T]):
    """What happens, from threads and signal handlers, for the one loop that deals with it."""

    def __init__(self) -> None:
        # a SimpleQueue may be used in a signal handler, also while the same thread waits for it
        self._news: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._breakable = False
        self.ending = False  #: whether somebody asked for the end

    def put(self, news: T) -> None:
        self._news.put(news)

    def take(self, within: float) -> list[T]:
        """All that has come; waits for the first."""
        taken: list[T] = []
        try:
            news = self._news.get(timeout=within)
            while True:
                if news is not None:
                    taken.append(news)
                news = self._news.get_nowait()
        except queue.Empty:
            return taken

    def end(self, _number: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        first, self.ending = not self.ending, True
        self._news.put(None)
        if first and self._breakable:
            raise KeyboardInterrupt

    @contextmanager
    def breakable(self) -> Iterator[None]:
        """Around a wait that knows nothing of this flag: a signal raises KeyboardInterrupt in it."""
        self._breakable = True
        try:
            if self.ending:
                raise KeyboardInterrupt
            yield
        finally:
            self._breakable = False

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Take the signals that ask for an end, and give them back afterwards."""
        before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN or number != signal.SIGHUP:  # nohup means it
                signal.signal(number, self.end)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
