"""Promoter: makes postponed jobs wait for a slot once they are due."""

from __future__ import annotations

import threading

from bson import ObjectId

from taskscheduler.clock import NEVER, Clock
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.readable import Fault
from taskscheduler.operations.set_aside import set_aside
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError, brief, is_refused_write
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.maintenance.duty import CHECK_WHEN_BUSY, DueDuty
from taskscheduler_daemon.node.state.lease import Lease

_PAUSE = 0.1  #: seconds after a look that found due jobs and changed none of them

_LATE = 0.001  #: seconds; a little early, nothing would be due and another look be needed


class Promoter(DueDuty):
    """Promotes due jobs by the clock of the server, and notes when the next one is due."""

    def __init__(
        self, store: Store, claimer: Claimer, search: Search, wake: threading.Event, clock: Clock, lease: Lease
    ) -> None:
        super().__init__(lease, wake)
        self._store = store
        self._claimer = claimer
        self._search = search
        self._clock = clock

    @property
    def interval(self) -> float:
        """Seconds between two looks for postponed jobs that no message has announced."""
        return self.poll if self._search.idle.is_set() else CHECK_WHEN_BUSY

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
        promoted, keys = self._promote(due), self._store.admission.park(due)
        self._store.admission.admit_next(keys)
        self._claimer.look_everywhere()
        self._next_at = self._clock.monotonic() + (0 if promoted or keys else _PAUSE)

    def _promote(self, ids: list[ObjectId]) -> int:
        """Promotes these jobs and returns how many; one that the database refuses to promote fails instead."""
        try:
            return self._store.postponed_jobs.promote(ids)
        except StoreError as error:
            if not is_refused_write(error):
                raise
            if len(ids) == 1:
                fault = Fault("document", f"cannot be made to wait for a slot: {brief(error)}")
                return set_aside(self._store, ids[0], fault, {"status": int(Status.POSTPONED)})
        half = len(ids) // 2
        return self._promote(ids[:half]) + self._promote(ids[half:])
