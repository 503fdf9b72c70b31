"""Signals as numbers that a loop reads: handlers do nothing, a descriptor wakes the loop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from types import FrameType

from taskscheduler_daemon.system.private_descriptors import keep_private


def _ignore(number: int, frame: FrameType | None) -> None:
    """Does nothing: with any handler at all Python writes the number to the wake-up descriptor."""


class SignalPipe:
    """Collects the signals that arrive, also those that the parent process had blocked. For the main thread."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = list(numbers)
        self._reader, self._writer = os.pipe()
        keep_private(self._reader, self._writer)
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._writing = threading.RLock()  #: so that nobody writes to a descriptor that was closed and reused
        self._before = {number: signal.signal(number, _ignore) for number in self._numbers}
        self._former_descriptor = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers).intersection(self._numbers)

    def fileno(self) -> int:
        """Returns the descriptor that is readable when a signal has arrived."""
        return self._reader

    def read(self) -> list[int]:
        """Returns the numbers that have arrived since the last call, in order; never blocks."""
        try:
            return list(os.read(self._reader, 4096))
        except BlockingIOError:
            return []

    def wake(self) -> None:
        """Makes the descriptor readable without a signal (reads as 0); from any thread."""
        self.send(0)

    def send(self, number: int) -> None:
        """Adds a number as if such a signal had arrived; from any thread."""
        with self._writing:
            try:
                os.write(self._writer, bytes([number]))
            except OSError:
                pass  # full, so it is readable anyway; or closed, so nothing reads it

    def close(self) -> None:
        """Restores the former handlers and mask, and closes the descriptors."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._blocked)
        signal.set_wakeup_fd(self._former_descriptor)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        with self._writing:
            writer, self._writer = self._writer, -1
        os.close(writer)
        os.close(self._reader)
