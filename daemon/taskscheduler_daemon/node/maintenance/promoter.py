"""Promoter: makes postponed jobs wait for a slot once they are due."""

from __future__ import annotations

import threading

from taskscheduler.clock import NEVER, Clock
from taskscheduler.store import Store
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.maintenance.duty import CHECK_WHEN_BUSY, Duty
from taskscheduler_daemon.node.state.lease import Lease

_LATE = 0.001  #: seconds; a little early, nothing would be due and another look be needed


class Promoter(Duty):
    """Promotes due jobs by the clock of the server, and notes when the next one is due."""

    def __init__(
        self, store: Store, claimer: Claimer, search: Search, wake: threading.Event, clock: Clock, lease: Lease
    ) -> None:
        super().__init__(lease)
        self._store = store
        self._claimer = claimer
        self._search = search
        self._wake = wake
        self._clock = clock
        self._asked = threading.Event()

    def look_soon(self) -> None:
        """Looks soon: a postponed job was added that may be due before all others. Safe to use from any thread."""
        self._asked.set()
        self._wake.set()

    @property
    def interval(self) -> float:
        """Seconds between two looks for postponed jobs that no message has announced."""
        return self.poll if self._search.idle.is_set() else CHECK_WHEN_BUSY

    @property
    def next_at(self) -> float:
        """When the next known job is due."""
        return float("-inf") if self._asked.is_set() else self._next_at

    def run(self) -> None:
        """Promotes the jobs that are due, at most some at a time. Raises StoreError."""
        self._asked.clear()
        self._next_at = NEVER
        left = self._store.postponed_jobs.seconds_until_next()
        if left is None:
            return
        if left > 0:
            self._next_at = self._clock.monotonic() + left + _LATE
            return
        due = self._store.postponed_jobs.find()
        self._store.postponed_jobs.promote(due)
        self._store.solo_locks.admit_next(self._store.solo_locks.queue_for(due))
        self._claimer.look_everywhere()
        self._next_at = self._clock.monotonic()
