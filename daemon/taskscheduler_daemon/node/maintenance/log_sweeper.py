"""LogSweeper: deletes the logs of jobs that are gone: they have expired, or a chunk came after they were deleted."""

from __future__ import annotations

from bson import ObjectId

from taskscheduler.store import Store
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.state.lease import Lease

_IN_A_ROW = 10  #: parts of the logs in which something was found


class LogSweeper(Duty):
    """Looks at the logs of a thousand jobs at a time, one part after the other, and on while it finds something."""

    def __init__(self, store: Store, lease: Lease) -> None:
        super().__init__(lease, polls=5)
        self._store = store
        self._after: ObjectId | None = None  #: the job after which the next part begins

    def run(self) -> None:
        """Looks at one part, or at more. Raises StoreError."""
        for _ in range(_IN_A_ROW):
            found, self._after = self._store.logs.sweep(self._after)
            if not found or self._after is None:
                return
