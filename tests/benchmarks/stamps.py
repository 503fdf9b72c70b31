"""Decides how executions are counted: each process appends one monotonic time per job to a file of its own.

It knows nothing but the standard library: the peers, in an environment of their own, use it, too.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

VARIABLE = "BENCH_STAMPS"

_own = (0, -1)  #: process and descriptor


def stamp() -> None:
    """Note that a job runs: one write to a file of this process, named after its parent and itself."""
    global _own
    if _own[0] != os.getpid():
        name = os.path.join(os.environ[VARIABLE], f"{os.getppid()}-{os.getpid()}")
        _own = (os.getpid(), os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    os.write(_own[1], struct.pack("d", time.monotonic()))


class Stamps:
    """What the jobs have noted in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        os.environ[VARIABLE] = str(directory)  # for what is started from now on

    def count(self) -> int:
        """How many executions have been noted."""
        return sum(path.stat().st_size for path in self.directory.iterdir()) // 8

    def times(self) -> list[float]:
        """All times, in order."""
        return sorted(time for times in self.by_parent().values() for time in times)

    def by_parent(self) -> dict[str, list[float]]:
        """The times of all workers that have the same parent."""
        found: dict[str, list[float]] = {}
        for path in self.directory.iterdir():
            raw = path.read_bytes()
            times = struct.unpack(f"{len(raw) // 8}d", raw[: len(raw) // 8 * 8])
            found.setdefault(path.name.partition("-")[0], []).extend(times)
        return found

    def rate(self, most: int | None = None, start: int = 0) -> float:
        """Executions per second from the first to the last, or among the first so many, from `start` on."""
        times = self.times()[start:most]
        return (len(times) - 1) / (times[-1] - times[0])

    def shared_rate(self) -> float:
        """Executions per second while all parents have work: from when the last begins until the first ends."""
        times = self.by_parent().values()
        begin, end = max(map(min, times)), min(map(max, times))
        return sum(begin <= time <= end for many in times for time in many) / max(end - begin, 1e-9)
