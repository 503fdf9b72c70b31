"""Gatekeeper: keeps the places of cancelled jobs that still run, and lets in parked jobs when it is time."""

from __future__ import annotations

import threading

from taskscheduler.clock import NEVER, Clock
from taskscheduler.store import Store
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.maintenance.duty import CHECK_WHEN_BUSY, DueDuty
from taskscheduler_daemon.node.state.lease import Lease

_SOON = 0.1  #: seconds until the next sweep if the last one got somewhere: there may be more lists

_SHORTEST_WAIT = 0.005  #: seconds between two looks at the rates


class Gatekeeper(DueDuty):
    """Extends the places that this node holds, then admits parked jobs for which there is room.

    Most jobs are admitted by whoever has ended the one before. Those that wait for a rate, or were forgotten, are not.
    """

    def __init__(
        self, store: Store, search: Search, locks: ExclusiveLocks, clock: Clock, lease: Lease, wake: threading.Event
    ) -> None:
        super().__init__(lease, wake)
        self._store = store
        self._search = search
        self._locks = locks
        self._clock = clock
        self._sweep_at = self._find_at = float("-inf")
        self._asked.set()  # nobody has told yet what waits
        self._lists = set[str]()  #: to be looked at next
        self._lock = threading.Lock()

    def admit_soon(self, key: str) -> None:
        """Looks soon at the list of this key. Safe to use from any thread."""
        with self._lock:
            self._lists.add(key)
        self.look_soon()

    @property
    def interval(self) -> float:
        """Seconds between two looks; fewer while nobody follows the messages, which tell when jobs wait for a rate."""
        return super().interval if self._search.idle.is_set() else CHECK_WHEN_BUSY

    def limits_changed(self) -> None:
        """Looks at all rates soon: they may allow a start earlier than they did. Safe to use from any thread."""
        self._store.admission.rate_lists.look_at_all()
        self.look_soon()

    def run(self) -> None:
        """Looks at the rates that are due; extends and sweeps at each poll. Notes when to look again. StoreError."""
        asked = self._asked.is_set()
        self._asked.clear()
        self._next_at = NEVER
        self._admit()
        now = self._clock.monotonic()
        if now >= self._sweep_at:
            self._sweep(now)
        if asked or (now >= self._find_at and not self._search.idle.is_set()):  # nobody hears messages then
            self._store.admission.rate_lists.find()
            self._find_at = now + CHECK_WHEN_BUSY
        wait = self._store.sweeps.admit_rates()
        if wait is not None:
            self._next_at = min(self._next_at, self._clock.monotonic() + max(wait, _SHORTEST_WAIT))

    def _sweep(self, now: float) -> None:
        self._locks.extend_all()
        if self._store.sweeps.sweep() == 0.0:
            self._sweep_at = self._next_at = now + _SOON
        else:
            self._sweep_at = now + self.poll

    def _admit(self) -> None:
        with self._lock:
            lists, self._lists = self._lists, set()
        if lists:
            self._store.admission.admit_next(lists)
