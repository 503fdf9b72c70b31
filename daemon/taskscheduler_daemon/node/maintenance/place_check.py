"""PlaceCheck: fails queued jobs that no search finds, as their queue, due time or key is of a wrong type."""

from __future__ import annotations

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.readable import Fault, fault_of_parked, fault_of_waiting
from taskscheduler.operations.set_aside import set_aside
from taskscheduler.store import Store
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.state.lease import Lease


class PlaceCheck(Duty):
    """Sets aside queued jobs that no search finds. Those whose place is odd in another way are found, and fail then."""

    def __init__(self, store: Store, lease: Lease) -> None:
        super().__init__(lease, polls=5)
        self._store = store

    def run(self) -> None:
        """Looks once. Raises StoreError."""
        for job in self._store.postponed_jobs.never_due():
            self._set_aside(job, fault_of_waiting(job), Status.POSTPONED)
        for job in self._store.claims.without_queue():
            self._set_aside(job, fault_of_waiting(job), Status.WAITING)
        for job in self._store.sweeps.without_key():
            self._set_aside(job, fault_of_parked(job), Status.POSTPONED)

    def _set_aside(self, job: Document, fault: Fault | None, status: Status) -> None:
        if fault is not None:
            set_aside(self._store, job["_id"], fault, {"status": int(status)})
