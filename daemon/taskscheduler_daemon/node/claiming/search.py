"""Search: where this node looks for jobs next, from hints and from what the last search found.

MongoDB passes over index entries that were removed in the last minutes, so a search from the head of a queue that has
just been drained of ten thousand jobs costs as much as they did. While one queue yields full batches, each search
begins where the last one ended; now and then, and whenever jobs may wait before that place, one begins at the head.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler.store.claims import Cursor
from taskscheduler_daemon.node.claiming.behind import Behind
from taskscheduler_daemon.node.claiming.flow_pace import FlowPace

_BUSY_SEARCHES = 5  #: so many searches in a row that found all they wanted mean a backlog

_MOST_HINTED = 4  #: so few new jobs are claimed by their ids instead of searching for them


class Search:
    """Keeps what this node knows about waiting jobs: hints, served queues, and where the last search ended.

    Safe to use from many threads.
    """

    def __init__(self, served: Sequence[str], clock: Clock = SYSTEM_CLOCK) -> None:
        """`served` are the queues of this node; none: all."""
        self.served = list(served)
        self._served = frozenset(served)
        self._known = set(served)
        self._lock = threading.Lock()
        self.wake = threading.Event()  #: set when it is time to search
        self._hinted: list[ObjectId] = []
        self._everywhere = True
        self.forced = True  #: whether there may be force_spawn jobs
        self.grouped = True  #: whether jobs of groups may wait for their turn
        self._hinted_since = False  #: since the last search began
        self._hinted_behind = (
            False  #: since the last one at the head began: what waits again may wait before the cursor
        )
        self.cursor: Cursor | None = None
        self.more = True  #: whether there may be waiting jobs
        self._full_searches = 0
        self._pace = FlowPace(clock)
        self.has_backlog = False
        self.behind = Behind()
        self.idle = threading.Event()  #: cleared while hints are of no use: there is a backlog, or flows are fast
        self.idle.set()

    def look_everywhere(self) -> None:
        """Has the next search begin at the head of all queues."""
        with self._lock:
            self._everywhere = self.forced = self.grouped = self.more = self._hinted_since = True

    def followed(self, count: int) -> None:
        """Notes that so many jobs of flows were claimed as those before them had ended here."""
        with self._lock:
            self._pace.claimed(count)
            self._tell_idle()

    def check_pace(self) -> None:
        """Notices when jobs of flows do not follow each other fast any more. Called now and then while not idle."""
        with self._lock:
            self._pace.measure()
            self._tell_idle()

    def is_look_due(self) -> bool:
        """Returns whether it is time to look for jobs that nobody hears of; then the next time is a moment later."""
        return self._pace.is_look_due()

    def _tell_idle(self) -> None:
        if self.has_backlog or self._pace.is_fast:
            self.idle.clear()
        else:
            self.idle.set()

    def hint(self, ids: Sequence[ObjectId], queues: Iterable[str], forced: bool, later: bool) -> bool:
        """Notes that jobs were added, some perhaps for later; returns whether this node serves any of their queues."""
        names = set(queues)
        if self._served and names and not names & self._served:
            return False
        with self._lock:
            self._known |= names & self._served if self._served else names
            self.forced |= forced
            if not self.more and not later and len(self._hinted) + len(ids) <= _MOST_HINTED:
                self._hinted += ids
            else:
                self._hinted, self.more, self._hinted_since, self._hinted_behind = [], True, True, True
        return True

    def groups_wait(self, queues: Iterable[str]) -> bool:
        """Notes that jobs wait for the turn of their group; returns whether this node serves any of their queues."""
        if self._served and not set(queues) & self._served:
            return False
        with self._lock:
            self._hinted, self.grouped, self.more, self._hinted_since = [], True, True, True
        return True

    def pop_grouped(self) -> bool:
        """Returns whether jobs of groups may wait; each hint about them counts once."""
        with self._lock:
            grouped, self.grouped = self.grouped, False
            return grouped

    def pop_hinted(self) -> list[ObjectId]:
        """Removes and returns the new jobs to claim by their ids, if nothing else waits."""
        with self._lock:
            hinted, self._hinted = self._hinted, []
            return hinted

    def pop_forced(self) -> bool:
        """Returns whether there may be force_spawn jobs; each hint about them counts once."""
        with self._lock:
            forced, self.forced = self.forced, False
            return forced

    def found_forced(self, count: int, wanted: int) -> None:
        """Notes how many force_spawn jobs a search found: if as many as were wanted, there may be more."""
        with self._lock:
            self.forced |= count >= wanted

    def begin_everywhere(self) -> bool:
        """Begins a search; returns whether it begins at the head of all queues, whatever they are called.

        Forgets the known queues then: some of them may have been empty for long.
        """
        with self._lock:
            everywhere, self._everywhere, self._hinted_since = self._everywhere, False, False
            if everywhere:
                self.cursor, self._known = None, set(self._served)
            self._hinted_behind &= self.cursor is not None
            return everywhere

    def know(self, queues: Iterable[str]) -> None:
        """Notes that these queues have waiting jobs."""
        with self._lock:
            self._known |= set(queues)

    @property
    def queues(self) -> list[str]:
        """The queues to search."""
        with self._lock:
            return sorted(self._known)

    def found_grouped(self) -> None:
        """Notes that jobs of groups wait, so that the next search looks for them, too."""
        self.grouped = True

    def found(
        self,
        jobs: Sequence[Mapping[str, Any]],
        wanted: int,
        left: bool = False,
        mixed: bool = False,
        go_on: Cursor | None = None,
    ) -> None:
        """Notes what a search found, of so many jobs that were wanted; `left`: some of them are left for later.

        `mixed`: there are jobs of groups among them, so that they do not follow each other in a queue. `go_on`: where
        to search next, if not behind all of them.
        """
        with self._lock:
            full = len(jobs) >= wanted
            self.behind.found([job["priority"] for job in jobs], full or left)
            self.more = full or left or self._hinted_since  # jobs added meanwhile may have been stored after the search
            if not self.more and self.cursor is not None and self._hinted_behind:
                self.more = self._everywhere = True
            self._full_searches = self._full_searches + 1 if full else 0
            self.has_backlog = self.more and (self.has_backlog or self._full_searches >= _BUSY_SEARCHES)
            self._tell_idle()
            if mixed:
                return
            if full and len({job["queue"] for job in jobs}) == 1:  # each search looks for higher priorities first
                last = jobs[-1]
                self.cursor = go_on or Cursor(last["queue"], last["priority"], last["at"], last["_id"])
            elif full or not left:
                self.cursor = None
