"""PauseKeeper: removes pauses that are over, and lets jobs go on that a pause has left behind."""

from __future__ import annotations

from itertools import islice

from taskscheduler.clock import NEVER, Clock
from taskscheduler.operations.control.obeying import end_over, unpark_resumed
from taskscheduler.store import Store
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.state.controls import ControlView
from taskscheduler_daemon.node.state.lease import Lease

_LATE = 0.001  #: seconds; a little early, no pause would be over

_MOST_BATCHES = 5  #: of jobs in one run; other duties are due in between


class PauseKeeper(Duty):
    """Ends pauses at their time, and finishes what a resume began that has died half way."""

    def __init__(self, store: Store, view: ControlView, clock: Clock, lease: Lease) -> None:
        super().__init__(lease)
        self._store = store
        self._view = view
        self._clock = clock

    def run(self) -> None:
        """Looks once. Raises StoreError."""
        self._next_at = NEVER  # if this fails
        batches = sum(1 for _ in islice(unpark_resumed(self._store), _MOST_BATCHES))
        end_over(self._store, self._view.controls)  # this user may lack the right to
        self._next_at = self._clock.monotonic() + (self._until_next_end() if batches < _MOST_BATCHES else 0)

    def _until_next_end(self) -> float:
        """Returns the seconds until a pause ends; those that could not be removed are left to the next poll."""
        now = self._store.clock.now()
        left = [(pause.until - now).total_seconds() for pause in self._view.controls.pauses if pause.until is not None]
        return min((seconds + _LATE for seconds in left if seconds > 0), default=NEVER)
