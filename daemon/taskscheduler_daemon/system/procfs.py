"""What the system tells of processes: their threads, memory, open descriptors and children. Nothing is done to them."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path


def thread_count() -> int:
    """How many threads this process has, also those that Python did not start."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()


def own_memory(pid: int) -> int | None:
    """The bytes of memory that a process has for itself: resident, but neither of files nor shared. None: not told."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return None
    return (int(fields[1]) - int(fields[2])) * resource.getpagesize()


def open_descriptors() -> list[int]:
    """The descriptors that this process has open."""
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
            pass  # the one that listed the directory
    return found


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    except (OSError, ValueError):
        pass  # it is gone, or this system does not tell
    return found


def descendants(pid: int) -> list[int]:
    """All processes below a process."""
    found, todo = [], [pid]
    while todo:
        below = children(todo.pop())
        found += below
        todo += below
    return found
