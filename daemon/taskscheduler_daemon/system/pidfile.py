"""Pidfiles that are locked as long as their process runs.

A file is stale if nobody holds its lock, which the kernel drops with its process, or if the process that has its pid
now was started at another time. A process counts as the owner only if it holds the lock itself.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from pathlib import Path

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler.errors import SchedulerError
from taskscheduler.process_identity import started_at
from taskscheduler_daemon.system.private_descriptors import keep_private
from taskscheduler_daemon.system.procfs import holds_lock

_FORM = re.compile(r"(?P<pid>[1-9][0-9]{0,9})\n(start=(?P<start>[0-9]+)\n)?")

_LONGEST = 200  #: bytes of a pidfile

IN_USE = "is in use"  #: says so in the error, by which the process that starts a node knows it

LOOK_EVERY = 0.05  #: seconds

_MOST_LOOKS = 20  #: at a locked file; a process that only looks at it holds its lock for less


class PidfileError(SchedulerError):
    """The pidfile is in use by a running process, or cannot be used as a pidfile."""


class Pidfile:
    """A file with the pid of a process, locked as long as that process runs."""

    def __init__(self, path: str | os.PathLike[str], clock: Clock = SYSTEM_CLOCK) -> None:
        self.path = Path(path).absolute()
        self._clock = clock
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Locks the file for this process and its forks; PidfileError if a running process has it."""
        looks = 0
        while self._descriptor is None:
            descriptor = self._open(os.O_CREAT)
            if not _locked(descriptor):
                os.close(descriptor)
                owner = self.owner()
                looks += 1
                if owner is not None or looks > _MOST_LOOKS:
                    raise PidfileError(f"{self.path} {IN_USE}" + (f": process {owner} runs" if owner else ""))
                self._clock.pause(LOOK_EVERY)  # its owner only looks at it, or is about to write
            elif self._is_file(descriptor):
                self._check_kind(descriptor)
                self._make_private(descriptor)
                self._descriptor = descriptor
                keep_private(descriptor)
            else:
                os.close(descriptor)  # its owner has removed it in the meantime

    def write(self) -> None:
        """Writes the pid and the start time of this process."""
        assert self._descriptor is not None, "acquire() comes first"
        start = started_at(os.getpid())
        text = f"{os.getpid()}\n" + (f"start={start}\n" if start is not None else "")
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def leave(self) -> None:
        """Closes the file on this side of a fork; the other side keeps the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def release(self) -> None:
        """Removes the file and its lock; does nothing if it is not ours."""
        if self._descriptor is not None:
            if self._is_file(self._descriptor):
                self.path.unlink(missing_ok=True)
            self.leave()

    def owner(self) -> int | None:
        """Returns the pid of the running process that is named here; None if there is none."""
        try:
            descriptor = self._open(0)
        except FileNotFoundError:
            return None
        try:
            return None if _locked(descriptor) else self._named(descriptor)
        finally:
            os.close(descriptor)

    def remove_stale(self) -> None:
        """Removes the file if no running process has it."""
        if self.path.exists():
            try:
                self.acquire()
            except PidfileError:
                return
            self.release()

    def _open(self, more: int) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | more, 0o600)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not more:
                raise
            raise PidfileError(f"{self.path} cannot be used as a pidfile: {error.strerror}") from error

    @staticmethod
    def _make_private(descriptor: int) -> None:
        """Takes the rights of others away from a file that an earlier version has left."""
        try:
            os.fchmod(descriptor, 0o600)
        except PermissionError:
            pass  # it belongs to somebody else

    def _is_file(self, descriptor: int) -> bool:
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        ours = os.fstat(descriptor)
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def _check_kind(self, descriptor: int) -> None:
        """Raises PidfileError for anything but a file with one name: writing would change what the others name."""
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            os.close(descriptor)
            raise PidfileError(f"{self.path} cannot be used as a pidfile: it is not a file with a single name")

    @staticmethod
    def _named(descriptor: int) -> int | None:
        found = _FORM.fullmatch(os.pread(descriptor, _LONGEST, 0).decode("ascii", "replace"))
        if found is None:
            return None  # it is being written
        pid = int(found["pid"])
        if found["start"] is not None and started_at(pid) != int(found["start"]):
            return None
        # others may own or lock the file, and name any process in it; a node is the one that holds the lock
        return pid if holds_lock(pid, descriptor) or not os.path.isdir("/proc/self/fd") else None


def _locked(descriptor: int) -> bool:
    """Locks the file; False if another process has it locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
