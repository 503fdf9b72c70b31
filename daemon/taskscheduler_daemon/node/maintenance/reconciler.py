"""Reconciler: compares this node's attempts with the database, and with what the manager mentions."""

from __future__ import annotations

from collections.abc import Sequence

from taskscheduler.clock import Clock
from taskscheduler.store import Store
from taskscheduler.store.completions import Sign
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.dispatch.dispatcher import Dispatcher
from taskscheduler_daemon.node.dispatch.manager_watchdog import ManagerWatchdog
from taskscheduler_daemon.node.maintenance.duty import CHECK_WHEN_BUSY, Duty
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight
from taskscheduler_daemon.node.state.lease import Lease

_SOON = 0.4  #: seconds; younger attempts are not checked, as most end before it would matter


class Reconciler(Duty):
    """Cancels attempts that are not ours any more, and gives up those that the manager does not know."""

    def __init__(
        self,
        store: Store,
        in_flight: InFlight,
        dispatcher: Dispatcher,
        watchdog: ManagerWatchdog,
        search: Search,
        lease: Lease,
        clock: Clock,
    ) -> None:
        super().__init__(lease)
        self._store = store
        self._in_flight = in_flight
        self._dispatcher = dispatcher
        self._watchdog = watchdog
        self._search = search
        self._lease = lease
        self._clock = clock

    @property
    def interval(self) -> float:
        """Seconds between two looks for cancellations that no message has announced."""
        return self.poll if self._search.idle.is_set() else CHECK_WHEN_BUSY

    def run(self) -> None:
        """Checks all attempts that run for some time. Raises StoreError."""
        now = self._clock.monotonic()
        old = [attempt for attempt in self._in_flight.all() if now - attempt.claimed_at > _SOON]
        if not old:
            return
        held = self._store.leases.still_held([attempt.fence for attempt in old])
        gone = [attempt.fence for attempt in old if attempt.fence.job_id not in held]
        if gone:
            self._dispatcher.give_up(gone)
            self._store.leases.absolve(gone)  # this node may have been taken for lost, and it is here
        self._give_up_missing(now, old)
        self._note_running(now, [attempt for attempt in old if attempt.fence.job_id in held])

    def _give_up_missing(self, now: float, attempts: Sequence[Attempt]) -> None:
        """Gives up attempts that the manager has not mentioned for long. One that hangs may still be running them."""
        for attempt in attempts:
            silent = not attempt.kept and now - max(attempt.claimed_at, attempt.seen_at) > self._watchdog.patience
            if silent and self._watchdog.is_answering:
                self._dispatcher.missing(attempt.fence)

    def _note_running(self, now: float, attempts: Sequence[Attempt]) -> None:
        """Writes a sign of life for attempts that have given none themselves."""
        quiet = [one for one in attempts if one.worker is not None and now - one.noted > self._lease.renewal_interval]
        if quiet:
            signs = [Sign(one.fence, {"worker": str(one.worker)}, one.parent, one.began, of_job=False) for one in quiet]
            self._store.completions.progress(signs)
            for attempt in quiet:
                attempt.noted = now
