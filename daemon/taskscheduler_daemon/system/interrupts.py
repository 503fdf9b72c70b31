"""Signals as a flag that ends a wait, for foreground commands: they end a wait at once, but never break into work."""

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
    """A queue from threads and signal handlers to the one loop that handles what comes."""

    def __init__(self) -> None:
        # a SimpleQueue may be used in a signal handler, also while the same thread waits for it
        self._items: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._breakable = False
        self.ending = False  #: whether a signal asked for the end

    def put(self, item: T) -> None:
        """Appends an item; from any thread."""
        self._items.put(item)

    def take(self, within: float) -> list[T]:
        """Returns all items that have come; waits so many seconds for the first."""
        taken: list[T] = []
        try:
            item = self._items.get(timeout=within)
            while True:
                if item is not None:
                    taken.append(item)
                item = self._items.get_nowait()
        except queue.Empty:
            return taken

    def end(self, _number: int, _frame: FrameType | None) -> None:
        """Handles a signal: sets the flag and ends a wait; the first one raises KeyboardInterrupt in `breakable`."""
        first, self.ending = not self.ending, True
        self._items.put(None)
        if first and self._breakable:
            raise KeyboardInterrupt

    @contextmanager
    def breakable(self) -> Iterator[None]:
        """Surrounds a wait that does not watch this flag: a signal raises KeyboardInterrupt in it."""
        self._breakable = True
        try:
            if self.ending:
                raise KeyboardInterrupt
            yield
        finally:
            self._breakable = False

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Handles SIGINT, SIGTERM and SIGHUP, also if they were blocked; restores handlers and mask afterwards."""
        before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN or number != signal.SIGHUP:  # started by nohup
                signal.signal(number, self.end)
        blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS).intersection(_SIGNALS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
