"""UnknownSweeper: ends jobs under controls that have waited long enough for a node that knows their class."""

from __future__ import annotations

from taskscheduler.operations.control.unknown import end_unknown
from taskscheduler.store import Store
from taskscheduler_daemon.node.maintenance.duty import POLL, Duty
from taskscheduler_daemon.node.state.lease import Lease

_PART, _MOST_POLLS = 0.01, 15  #: of the timeout between two looks: who waits for an hour may wait for seconds more


class UnknownSweeper(Duty):
    """Looks at the lists of jobs that no node runs. Jobs without controls are claimed by the claimer instead."""

    def __init__(self, store: Store, timeout: float, lease: Lease) -> None:
        """`timeout` is in seconds; 0: they fail at once."""
        super().__init__(lease, polls=min(_MOST_POLLS, max(1.0, _PART * timeout / POLL)))
        self._store = store
        self._timeout = timeout

    def run(self) -> None:
        """Looks once. Raises StoreError."""
        end_unknown(self._store, self._timeout)
