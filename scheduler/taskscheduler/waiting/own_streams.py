"""OwnStreams: how many calls of one scheduler may have a stream of their own; the others share one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_MOST = 2  #: the server filters for them, and nothing has to be started; more would cost every write of the cluster


class OwnStreams:
    """Counts the streams of one kind that belong to a single call."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._free = threading.Semaphore(_MOST)

    def take(self) -> bool:
        """Returns whether the caller may open one; it gives that back."""
        if self._pid != os.getpid():
            self._reset()  # the threads that hold them do not survive a fork
        return self._free.acquire(blocking=False)

    def give_back(self) -> None:
        """Lets another call open one."""
        if self._pid == os.getpid():
            self._free.release()

    @contextmanager
    def one(self) -> Iterator[bool]:
        """Yields whether the block may open one."""
        taken = self.take()
        try:
            yield taken
        finally:
            if taken:
                self.give_back()
