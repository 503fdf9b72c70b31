"""Planner: adds the runs of schedules whose time has come."""

from __future__ import annotations

import random
import threading

from taskscheduler.clock import NEVER, Clock
from taskscheduler.operations.schedule_runs import add_due_runs
from taskscheduler.store import Store
from taskscheduler.store.schedules import MOST
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.maintenance.duty import POLL, DueDuty
from taskscheduler_daemon.node.state.lease import Lease

_IDLE = 60.0  #: seconds between two looks for schedules that no message has announced
_BUSY = 1.0  #: the same while this node follows no messages
_SPREAD = 0.02  #: seconds; not all nodes look at the same moment


class Planner(DueDuty):
    """Adds due runs by the clock of the server, and notes when the next schedule is due."""

    def __init__(self, store: Store, search: Search, wake: threading.Event, clock: Clock, lease: Lease) -> None:
        super().__init__(lease, wake)
        self._store = store
        self._search = search
        self._clock = clock

    @property
    def interval(self) -> float:
        """Seconds between two looks that nothing asks for."""
        return _IDLE if self._search.idle.is_set() else _BUSY

    def run(self) -> None:
        """Adds the runs that are due, for some schedules at most. Raises StoreError."""
        self._asked.clear()
        self._next_at = self._clock.monotonic() + POLL  # if this fails
        looked, left = 0, self._seconds_until_next()
        if left <= 0:
            looked = add_due_runs(self._store)
            left = self._seconds_until_next()
        pause = 0.0 if looked == MOST else random.uniform(0, _SPREAD)
        self._next_at = self._clock.monotonic() + max(0.0, left) + pause

    def _seconds_until_next(self) -> float:
        due = self._store.schedules.next_due()
        return NEVER if due is None else (due - self._store.clock.now()).total_seconds()
