"""Rescuer: rescues the jobs of lost nodes."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.clock import NEVER, Clock
from taskscheduler.operations.flows.sweep import sweep_all_flows
from taskscheduler.operations.rescue import rescue
from taskscheduler.store import Store
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.maintenance.failure_detector import FailureDetector
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.node.state.meter import Meter

logger = logging.getLogger(__name__)

_INTERVAL = 1.75, 2.25  #: in polls; so a node that dies right after a look is found within its lease and 4.5 s


class Rescuer(Duty):
    """Declares nodes lost whose heartbeat stood still for a whole lease on our own clock, and rescues their jobs."""

    def __init__(
        self,
        store: Store,
        node: NodeIdentity,
        claimer: Claimer,
        meter: Meter,
        lease: Lease,
        max_lost: int,
        clock: Clock,
    ) -> None:
        super().__init__(lease)
        self._store = store
        self._boot = node.boot
        self._detector = FailureDetector(lease.duration)
        self._claimer = claimer
        self._meter = meter
        self._max_lost = max_lost
        self._clock = clock

    @property
    def interval(self) -> float:
        """Seconds until the next look; sooner, if a node may be lost sooner."""
        return self.poll * random.uniform(*_INTERVAL)

    def run(self) -> None:
        """Looks at all nodes once. Raises StoreError."""
        self._next_at = NEVER
        # not this one: a node that could not beat for a while may still have the ends of its jobs to write
        nodes = {node["_id"]: node for node in self._store.nodes.all() if node["_id"] != self._boot}
        owners = self._store.leases.owners() - {self._boot}
        for boot in self._detector.lost(nodes.values(), owners, self._clock.monotonic()):
            self._rescue(boot, nodes.get(boot), boot in owners)
        self._next_at = self._detector.next_at

    def _rescue(self, boot: ObjectId, node: Mapping[str, Any] | None, owns_jobs: bool) -> None:
        if node is not None and "lost" not in node and not self._store.nodes.declare_lost(boot, node["beat"]):
            return  # it beat in the last moment
        self._store.outbox.return_hooks(boot)
        name = node["name"] if node is not None else str(boot)
        taken = rescue(self._store, boot, name, self._max_lost) if owns_jobs else []
        sweep_all_flows(self._store)  # it may have died between the end of a job and what follows
        self._meter.rescued(taken)
        if taken:
            logger.warning("took back jobs of a lost node", extra={"node": name, "count": len(taken)})
            self._claimer.look_everywhere()
