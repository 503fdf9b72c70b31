"""LeakedClaims: finds attempts that are ours in the database only, and releases them."""

from __future__ import annotations

import threading

from taskscheduler.store import Store
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.claiming.pipeline import ClaimPipeline
from taskscheduler_daemon.node.completion.completer import Completer
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.in_flight import InFlight
from taskscheduler_daemon.node.state.lease import Lease


class LeakedClaims(Duty):
    """Finds leaked claims by two reads; between them every completion known at the first is written.

    The claim of a service may be cancelled before it is released. Then nobody starts the service again until this node
    says that no process of it is there.
    """

    def __init__(
        self,
        store: Store,
        node: NodeIdentity,
        in_flight: InFlight,
        locks: ExclusiveLocks,
        pipeline: ClaimPipeline,
        completer: Completer,
        lease: Lease,
    ) -> None:
        super().__init__(lease, polls=2)
        self._store = store
        self._boot = node.boot
        self._in_flight = in_flight
        self._locks = locks
        self._pipeline = pipeline
        self._completer = completer
        self._written = threading.Event()  #: whether the completions known at the last read have been written
        self._written.set()
        self._seen: set[Fence] = set()

    def run(self) -> None:
        """Releases the attempts of claims that were carried out late. Raises StoreError."""
        if not self._written.is_set():
            return
        claiming = set(self._pipeline.unconfirmed())  # first: the jobs of any other claim are in flight by now
        ours = {*self._in_flight.fences(), *self._locks.exiting()}  # in this order, as they pass from one to the other
        held = self._store.leases.held_by(self._boot)
        cancelled = self._store.services.not_gone(self._boot)
        seen = {fence for fence in (*held, *cancelled) if fence not in ours and fence.claim not in claiming}
        leaked, self._seen = seen & self._seen, seen
        self._written = self._completer.barrier()
        for fence in leaked.intersection(held):
            self._store.claims.release(fence)
        for fence in leaked.intersection(cancelled):
            self._store.services.gone(fence)
