"""Declarer: declares the schedules that stand in the job modules of this node."""

from __future__ import annotations

from taskscheduler.clock import NEVER
from taskscheduler.operations.declare_schedules import declare
from taskscheduler.store import Store
from taskscheduler.store.attempts.completion import as_date
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.lease import Lease


class Declarer(Duty):
    """Declares them once in each session; tries again as long as the database cannot be used."""

    def __init__(self, store: Store, node: NodeIdentity, options: NodeOptions, lease: Lease) -> None:
        super().__init__(lease)
        self._store = store
        self._node = node
        self._options = options
        self._is_done = not options.schedules

    @property
    def interval(self) -> float:
        """Seconds until the next try."""
        return NEVER if self._is_done else self.poll

    def run(self) -> None:
        """Declares the schedules, if that is not done yet. Raises StoreError."""
        if not self._is_done:
            read_at = as_date(self._store.clock.at(self._options.read_at))
            declare(self._store, self._node.boot, self._options.schedules, read_at)
            self._is_done = True
