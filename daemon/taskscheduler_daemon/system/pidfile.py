"""Decides whether the process that a pidfile names still runs, and starts and stops nodes by it.

A file is stale if nobody holds its lock, which no kill can leave behind, or if the process of this number was started
at another time: numbers are used again.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
from pathlib import Path

from taskscheduler.errors import SchedulerError
from taskscheduler.process_identity import started_at

_FORM = re.compile(r"(?P<pid>[1-9][0-9]{0,9})\n(start=(?P<start>[0-9]+)\n)?")

_LONGEST = 200  #: bytes of a pidfile

_LOOK_EVERY = 0.05

_LOOKED_AT = 20  #: looks in which a file is locked; who only looks at it holds its lock for less


class PidfileError(SchedulerError):
    """The pidfile is in use by a process that runs, or is something else than a pidfile."""


class Pidfile:
    """A file with the number of a process, locked as long as that process runs."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the file for this process and those that it forks; PidfileError if a process that runs has it."""
        looks, pause = 0, threading.Event()
        while self._descriptor is None:
            descriptor = self._open(os.O_CREAT)
            if not _locked(descriptor):
                os.close(descriptor)
                owner = self.owner()
                looks += 1
                if owner is not None or looks > _LOOKED_AT:
                    raise PidfileError(f"{self.path} is in use" + (f": process {owner} runs" if owner else ""))
                pause.wait(_LOOK_EVERY)  # somebody only looks at it, or is about to write
            elif self._is_file(descriptor):
                self._descriptor = descriptor
            else:
                os.close(descriptor)  # whoever had it has removed it in the meantime

    def write(self) -> None:
        """Name this process in the file."""
        assert self._descriptor is not None, "acquire() comes first"
        start = started_at(os.getpid())
        text = f"{os.getpid()}\n" + (f"start={start}\n" if start is not None else "")
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def leave(self) -> None:
        """Let go of the file on this side of a fork; the other side keeps it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def release(self) -> None:
        """Remove the file; nothing if it is not ours."""
        if self._descriptor is not None:
            if self._is_file(self._descriptor):
                self.path.unlink(missing_ok=True)
            self.leave()

    def owner(self) -> int | None:
        """The number of the process that runs and is named here; None if there is none."""
        try:
            descriptor = self._open(0)
        except FileNotFoundError:
            return None
        try:
            return None if _locked(descriptor) else self._named(descriptor)
        finally:
            os.close(descriptor)

    def remove_stale(self) -> None:
        """Remove the file if no process has it."""
        if self.path.exists():
            try:
                self.acquire()
            except PidfileError:
                return
            self.release()

    def _open(self, more: int) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | more, 0o644)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not more:
                raise
            raise PidfileError(f"{self.path} cannot be used as a pidfile: {error.strerror}") from error

    def _is_file(self, descriptor: int) -> bool:
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        ours = os.fstat(descriptor)
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    @staticmethod
    def _named(descriptor: int) -> int | None:
        found = _FORM.fullmatch(os.pread(descriptor, _LONGEST, 0).decode("ascii", "replace"))
        if found is None:
            return None  # it is being written
        pid = int(found["pid"])
        return pid if found["start"] is None or started_at(pid) == int(found["start"]) else None


def _locked(descriptor: int) -> bool:
    """Whether this is now the only lock on the file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
