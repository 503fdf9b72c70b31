"""SchemaKeeper: recreates collections and indexes that are missing."""

from __future__ import annotations

from taskscheduler.model.options import FLOWS
from taskscheduler.store import Store
from taskscheduler.store.schema import ensure
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.state.lease import Lease

_EVERY = 30  #: in runs


class SchemaKeeper(Duty):
    """Ensures the schema now and then, and at its next run after the server has rejected a command."""

    def __init__(self, store: Store, lease: Lease) -> None:
        super().__init__(lease)
        self._store = store
        self._runs = 0
        self._broken = False

    def repair(self) -> None:
        """Ensures the schema at the next run."""
        self._broken = True

    def run(self) -> None:
        """Ensures the schema if it is time to. Raises StoreError."""
        self._runs += 1
        if self._broken or self._runs % _EVERY == 0:
            store = self._store
            found = ensure(store.database, store.options, store.on_demand.known)
            store.on_demand.learn(found.on_demand)
            store.flows.in_use |= FLOWS in found.collections
            self._broken = False
