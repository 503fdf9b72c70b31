"""Pure: where a node should look for jobs next, from what it has heard and from what it found last.

MongoDB passes over index entries that were removed in the last minutes, so a look at the head of a queue that has just
been drained by the ten thousand costs as much as they did. While one queue yields full batches, looks begin where the
last one ended; now and then, and whenever there may be something before that place, one begins at the head again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId

from taskscheduler.store.claims import Cursor

_BUSY_LOOKS = 5  #: so many looks in a row that found all they wanted mean a backlog

_MOST_NAMED = 4  #: so few new jobs are claimed by their ids instead of searching for them


class Search:
    """What is known about jobs that wait. Safe to use from many threads."""

    def __init__(self, served: Sequence[str]) -> None:
        """`served` are the queues of this node; none: all."""
        self.served = list(served)
        self._served = frozenset(served)
        self._known = set(served)
        self._lock = threading.Lock()
        self._hinted: list[ObjectId] = []
        self._everywhere = True
        self._forced = True
        self._news = False  #: since the last look began
        self.cursor: Cursor | None = None
        self.more = True  #: whether there may be waiting jobs
        self._full_looks = 0
        self.idle = threading.Event()  #: cleared while there is a backlog, so that news of more jobs mean nothing
        self.idle.set()

    def look_everywhere(self) -> None:
        """Whatever was known may have changed."""
        with self._lock:
            self._everywhere = self._forced = self.more = self._news = True

    def hint(self, ids: Sequence[ObjectId], queues: Iterable[str], forced: bool, later: bool) -> bool:
        """Jobs were added, some perhaps for later; whether this node serves any of their queues."""
        names = set(queues)
        if self._served and names and not names & self._served:
            return False
        with self._lock:
            self._known |= names & self._served if self._served else names
            self._forced |= forced
            if not self.more and not later and len(self._hinted) + len(ids) <= _MOST_NAMED:
                self._hinted += ids
            else:
                self._hinted, self.more, self._news = [], True, True
        return True

    def pop_hinted(self) -> list[ObjectId]:
        """The new jobs to claim by their ids, if that is all there is to do."""
        with self._lock:
            named, self._hinted = self._hinted, []
            return named

    def pop_forced(self) -> bool:
        """Whether there may be force_spawn jobs."""
        with self._lock:
            forced, self._forced = self._forced, False
            return forced

    def begin_everywhere(self) -> bool:
        """A look begins: whether it is to be at the head of all queues, whatever they are called.

        Of those that are known then, some may have been gone for long.
        """
        with self._lock:
            everywhere, self._everywhere, self._news = self._everywhere, False, False
            if everywhere:
                self.cursor, self._known = None, set(self._served)
            return everywhere

    def know(self, queues: Iterable[str]) -> None:
        """These queues have waiting jobs."""
        with self._lock:
            self._known |= set(queues)

    @property
    def queues(self) -> list[str]:
        """Where to look."""
        with self._lock:
            return sorted(self._known)

    def found(self, jobs: Sequence[Mapping[str, Any]], wanted: int, left: bool = False) -> None:
        """A look gave these jobs, of so many that were wanted; whether some of them are left to others."""
        with self._lock:
            full = len(jobs) >= wanted
            self.more = full or left or self._news  # what came in between may have been stored after the look
            self._full_looks = self._full_looks + 1 if full else 0
            if not self.more:
                self.idle.set()
            elif self._full_looks >= _BUSY_LOOKS:
                self.idle.clear()
            places = {(job["queue"], job["priority"]) for job in jobs}
            if full and len(places) == 1:
                last = jobs[-1]
                self.cursor = Cursor(last["queue"], last["priority"], last["at"], last["_id"])
            elif full or not left:
                self.cursor = None
