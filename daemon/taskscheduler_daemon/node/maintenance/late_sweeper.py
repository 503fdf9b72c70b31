"""LateSweeper: ends the jobs that have not started by the time by which they had to."""

from __future__ import annotations

from taskscheduler.clock import NEVER, Clock
from taskscheduler.operations.late import end_late_jobs
from taskscheduler.store import Store
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.state.lease import Lease

_LATE = 0.001  #: seconds; a little early, nothing would be found


class LateSweeper(Duty):
    """Ends late jobs that nobody has claimed, by the clock of the server, and notes when the next one is late."""

    def __init__(self, store: Store, clock: Clock, lease: Lease) -> None:
        super().__init__(lease)
        self._store = store
        self._clock = clock

    def run(self) -> None:
        """Ends the jobs that are late, some at a time. Raises StoreError."""
        self._next_at = NEVER
        left = self._store.late_jobs.seconds_until_next()
        if left is not None and left > 0:
            self._next_at = self._clock.monotonic() + left + _LATE
        elif left is not None and end_late_jobs(self._store):
            self._next_at = self._clock.monotonic()
