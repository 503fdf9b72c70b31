"""How the processes around one state directory exclude and await each other: kernel locks and deadlines.

A kernel lock ends with the last process that has its file open, so no kill can leave a stale one behind.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from taskscheduler.errors import EmbeddedServerError

POLL_SECONDS = 0.02


class StartTimeout:
    """A time by which something must have happened, and what to say when it has not."""

    def __init__(
        self, seconds: float, failure: Callable[[], str], canceled: Callable[[], bool] = lambda: False
    ) -> None:
        self._end = time.monotonic() + seconds
        self._failure = failure
        self._canceled = canceled

    def remaining(self) -> float:
        """The seconds left, 0 when it is over."""
        return max(0.0, self._end - time.monotonic())

    def pause(self, seconds: float = POLL_SECONDS) -> None:
        """Wait a moment before the next look; raises EmbeddedServerError when over or canceled."""
        if self._canceled():
            raise EmbeddedServerError("the start was given up: asked to stop, or nobody waits for the server any more")
        if self.remaining() == 0:
            raise EmbeddedServerError(self._failure())
        threading.Event().wait(min(seconds, self.remaining()))


class FileLock:
    """An flock on an open file; not inherited by programs that this process starts."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def try_exclusive(self) -> bool:
        """True when this is now the only lock on the file."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """True when this is now one of the shared locks on the file."""
        return self._try(fcntl.LOCK_SH)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self.fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait_exclusive(self, deadline: StartTimeout) -> None:
        """Take the exclusive lock; raises EmbeddedServerError at the deadline."""
        while not self.try_exclusive():
            deadline.pause()

    def block_exclusive(self) -> None:
        """Take the exclusive lock, however long it takes."""
        fcntl.flock(self.fd, fcntl.LOCK_EX)

    def unlock(self) -> None:
        """Give up the lock for everybody who shares this open file, forked children included."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        self.close()

    def close(self) -> None:
        """Give up this process's part of the lock; forked children keep theirs."""
        os.close(self.fd)
