"""SoloSweeper: keeps the locks of solo jobs alive, and lets jobs in that were forgotten."""

from __future__ import annotations

from taskscheduler.store import Store
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.state.lease import Lease


class SoloSweeper(Duty):
    """Extends the locks that this node holds, then admits parked jobs whose key is free."""

    def __init__(self, store: Store, locks: ExclusiveLocks, lease: Lease) -> None:
        super().__init__(lease)
        self._store = store
        self._locks = locks

    def run(self) -> None:
        """Extends and sweeps once. Raises StoreError."""
        self._locks.extend_all()
        self._store.solo_locks.sweep()
