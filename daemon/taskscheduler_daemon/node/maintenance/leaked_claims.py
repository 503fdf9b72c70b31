"""LeakedClaims: finds attempts that are ours in the database only, and releases them."""

from __future__ import annotations

import threading

from taskscheduler.store import Store
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.claiming.pipeline import ClaimPipeline
from taskscheduler_daemon.node.completion.completer import Completer
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.in_flight import InFlight
from taskscheduler_daemon.node.state.lease import Lease


class LeakedClaims(Duty):
    """Finds leaked claims by two reads; between them every completion known at the first is written."""

    def __init__(
        self,
        store: Store,
        node: NodeIdentity,
        in_flight: InFlight,
        pipeline: ClaimPipeline,
        completer: Completer,
        lease: Lease,
    ) -> None:
        super().__init__(lease, polls=2)
        self._store = store
        self._boot = node.boot
        self._in_flight = in_flight
        self._pipeline = pipeline
        self._completer = completer
        self._written = threading.Event()  #: whether the completions known at the last read have been written
        self._written.set()
        self._seen: set[Fence] = set()

    def run(self) -> None:
        """Releases the attempts of claims that were carried out late. Raises StoreError."""
        for fence in self._leaked():
            self._store.claims.release(fence)

    def _leaked(self) -> set[Fence]:
        if not self._written.is_set():
            return set()
        claiming = set(self._pipeline.unconfirmed())  # first: the jobs of any other claim are in flight by now
        ours = set(self._in_flight.fences())
        held = self._store.leases.held_by(self._boot)
        seen = {fence for fence in held if fence not in ours and fence.claim not in claiming}
        again, self._seen = seen & self._seen, seen
        self._written = self._completer.barrier()
        return again
