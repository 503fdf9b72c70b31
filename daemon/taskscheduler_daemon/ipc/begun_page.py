"""Shared memory in which workers note the runs that they have begun, for the manager and the node that outlive them.

Made by the node before it forks its manager. Each worker has a row of its own, so nobody waits for anybody: it notes a
run before the job's first line is executed, and erases it after the end was reported. A row has one place for the
ordinary run and one for each async run.
"""

from __future__ import annotations

import mmap
import struct

from taskscheduler_daemon.ipc.messages import Begun

_PLACE = struct.Struct("<B12sI")  #: whether it is taken, job and attempt

_PLACE_SIZE = _PLACE.size

_PLACES = 64 * 1024  #: a megabyte, of which the system gives only what is written to


class BegunPage:
    """The memory of one manager. It hands out the rows."""

    def __init__(self, places: int = _PLACES) -> None:
        self.memory = mmap.mmap(-1, places * _PLACE.size + 1)  # the last byte: whether a place was missing
        self._places = places
        self._rows: dict[int, int] = {}  #: the length of each row that is in use, by its first place

    def row(self, places: int) -> BegunRow:
        """Returns a free row of so many places, or as many as there are left."""
        first = 0
        for taken in sorted(self._rows):
            if taken - first >= places:
                break
            first = taken + self._rows[taken]
        length = max(0, min(places, self._places - first))
        if length:
            self._rows[first] = length
        return BegunRow(self, first, length)

    def overflow(self) -> None:
        """Notes that there is no place for a run that begins."""
        self.memory[-1] = 1

    def free(self, row: BegunRow) -> None:
        """Takes a row back from a worker that has ended."""
        if self._rows.pop(row.first, None):
            start = row.first * _PLACE.size
            self.memory[start : start + row.length * _PLACE.size] = bytes(row.length * _PLACE.size)

    def write(self, place: int, job_id: bytes, attempt: int) -> None:
        """Notes a run at a place."""
        _PLACE.pack_into(self.memory, place * _PLACE_SIZE, 1, job_id, attempt)

    def erase(self, place: int) -> None:
        """Erases what was noted at a place."""
        self.memory[place * _PLACE_SIZE] = 0

    def read(self, first: int = 0, length: int | None = None) -> Begun:
        """Returns the runs that are noted at these places, or at all."""
        if self.memory[-1]:
            return None
        start, count = first * _PLACE.size, self._places - first if length is None else length
        noted = self.memory[start : start + count * _PLACE.size]
        if not any(noted):
            return frozenset()
        return frozenset((job_id, attempt) for taken, job_id, attempt in _PLACE.iter_unpack(noted) if taken)

    def close(self) -> None:
        """Unmaps the memory in this process."""
        self.memory.close()


class BegunRow:
    """The places of one worker."""

    def __init__(self, page: BegunPage, first: int, length: int) -> None:
        self.first = first
        self.length = length
        self._page = page
        self._memory, self._start = page.memory, first * _PLACE_SIZE  # of the ordinary run, which comes most often
        self._free = list(range(first + length - 1, first, -1))  #: places for async runs
        self._taken: dict[tuple[bytes, int], int] = {}

    def begin(self, job_id: bytes, attempt: int) -> None:
        """Notes that the ordinary run begins."""
        if self.length:
            _PLACE.pack_into(self._memory, self._start, 1, job_id, attempt)
        else:
            self._page.overflow()

    def end(self) -> None:
        """Erases the ordinary run."""
        if self.length:
            self._memory[self._start] = 0

    def begin_async(self, job_id: bytes, attempt: int) -> None:
        """Notes that an async run begins."""
        if self._free:
            place = self._taken[job_id, attempt] = self._free.pop()
            self._page.write(place, job_id, attempt)
        else:
            self._page.overflow()

    def end_async(self, job_id: bytes, attempt: int) -> None:
        """Erases an async run."""
        place = self._taken.pop((job_id, attempt), None)
        if place is not None:
            self._page.erase(place)
            self._free.append(place)

    def begun(self) -> Begun:
        """Returns what the worker has begun and not reported."""
        return self._page.read(self.first, self.length)

    def free(self) -> None:
        """Gives the row back."""
        self._page.free(self)
