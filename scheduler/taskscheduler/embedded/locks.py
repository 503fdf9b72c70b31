"""Kernel locks on files, by which the processes around one state directory exclude and await each other.

A kernel lock ends with the last process that has its file open, so a kill leaves no stale lock behind.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from taskscheduler.clock import Deadline
from taskscheduler.errors import EmbeddedServerError

POLL_SECONDS = 0.02


class StartTimeout:
    """The time that something about the server may take, and the error when it takes longer.

    Subclasses find out the error when it happens, and may give up earlier.
    """

    def __init__(self, seconds: float, failure: str = "") -> None:
        self._deadline = Deadline(seconds)
        self._failure = failure

    def failure(self) -> str:
        """Words the error when the time is over."""
        return self._failure

    def is_pointless(self) -> bool:
        """Whether to give up before the time is over."""
        return False

    def pause(self, seconds: float = POLL_SECONDS) -> None:
        """Waits before the next look; EmbeddedServerError when the time is over or waiting is pointless."""
        if self.is_pointless():
            raise EmbeddedServerError("the start was given up: asked to stop, or nobody waits for the server any more")
        if self._deadline.passed:
            raise EmbeddedServerError(self.failure())
        self._deadline.pause(seconds)

    def remaining(self) -> float:
        """Returns the seconds that are left, never negative."""
        return self._deadline.left(float("inf"))


class FileLock:
    """An flock on an open file, which programs that this process starts do not inherit."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def try_exclusive(self) -> bool:
        """Takes the exclusive lock if no other lock is on the file; returns whether it did."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Takes a shared lock if no exclusive one is on the file; returns whether it did."""
        return self._try(fcntl.LOCK_SH)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self.fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait_exclusive(self, timeout: StartTimeout) -> None:
        """Takes the exclusive lock; EmbeddedServerError when the time is over."""
        while not self.try_exclusive():
            timeout.pause()

    def block_exclusive(self) -> None:
        """Takes the exclusive lock, however long that takes."""
        fcntl.flock(self.fd, fcntl.LOCK_EX)

    def unlock(self) -> None:
        """Releases the lock for every process that shares this open file, forked children included."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        self.close()

    def close(self) -> None:
        """Closes the file in this process; forked children keep the lock."""
        os.close(self.fd)
