"""FlowSweeper: lets flows go on whose jobs somebody has ended and who died before he did what follows."""

from __future__ import annotations

from taskscheduler.operations.flows.sweep import sweep_all_flows, sweep_flows
from taskscheduler.store import Store
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.state.lease import Lease

_EVERY = 7  #: polls; what a lost node has left is done as soon as it is found lost


class FlowSweeper(Duty):
    """Looks at all flows when the node starts, then now and then at some. Asks nothing as long as there is no flow."""

    def __init__(self, store: Store, lease: Lease) -> None:
        super().__init__(lease, polls=_EVERY)
        self._store = store
        self._has_looked = False

    def run(self) -> None:
        """Looks once. Raises StoreError."""
        if self._has_looked:
            sweep_flows(self._store)
        else:
            sweep_all_flows(self._store)
        self._has_looked = True
