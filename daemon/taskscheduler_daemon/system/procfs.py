"""Threads, memory, descriptors and children of processes, read from /proc."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

from taskscheduler.embedded.launcher import is_keeper

_TICKS = os.sysconf("SC_CLK_TCK")


def thread_count() -> int:
    """Returns the number of threads of this process, including those that Python did not start."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()


def own_memory(pid: int) -> int | None:
    """Returns the private memory of a process in bytes: resident, neither of files nor shared; None if not known."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return None
    return (int(fields[1]) - int(fields[2])) * resource.getpagesize()


def open_descriptors() -> list[int]:
    """Returns the open descriptors of this process."""
    try:
        entries = os.listdir("/proc/self/fd")
    except OSError:
        entries = os.listdir("/dev/fd")
    found = []
    for entry in entries:
        try:
            os.fstat(int(entry))
            found.append(int(entry))
        except OSError:
            pass  # the descriptor that listed the directory
    return found


def user_of(pid: int) -> int | None:
    """Returns the effective user of a process; None if it is gone or the system does not say."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[2]) for line in lines if line.startswith("Uid:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def holds_lock(pid: int, descriptor: int) -> bool:
    """Returns whether a process holds the flock on the file that is open as `descriptor` here; False if in doubt."""
    wanted = os.fstat(descriptor)
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            if _is_same(f"/proc/{pid}/fd/{number}", wanted):
                notes = Path(f"/proc/{pid}/fdinfo/{number}").read_text().splitlines()
                if any(note.startswith("lock:") and " FLOCK " in note and " WRITE " in note for note in notes):
                    return True
    except OSError:
        pass  # it is gone, or it is not ours
    return False


def _is_same(path: str, wanted: os.stat_result) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)


def children(pid: int) -> list[int]:
    """Returns the direct children of a process; none if the system does not tell."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    except (OSError, ValueError):
        pass  # it is gone, or this system does not tell
    return found


def descendants(pid: int) -> list[int]:
    """Returns all descendants of a process, except those that belong to an embedded server; see `is_keeper`."""
    found, todo = [], [pid]
    while todo:
        below = [child for child in children(todo.pop()) if not is_keeper(child)]
        found += below
        todo += below
    return found


def usage_of(pid: int) -> tuple[int, float] | None:
    """Returns the resident memory of a process in bytes, and its CPU seconds; None if the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        # the name of the program may hold anything, and stands in brackets
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return pages * resource.getpagesize(), (int(fields[11]) + int(fields[12])) / _TICKS
    except (OSError, ValueError, IndexError):
        return None
