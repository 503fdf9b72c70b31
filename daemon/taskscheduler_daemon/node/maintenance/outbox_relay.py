"""OutboxRelay: delivers the effects of ended jobs that a crashed process left pending."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError, brief, is_refusal, is_refused_write
from taskscheduler.store.outbox import ALL_EFFECTS
from taskscheduler_daemon.node.completion.hooks import HookCalls
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.state.lease import Lease

logger = logging.getLogger(__name__)

_AT_ONCE = 100  #: jobs per run

_LONGEST_PAUSE = 600.0  #: seconds

_REMEMBERED = 60.0  #: seconds after a pause, by when the next failure must have come

_MOST_LEFT_OUT = 1000


class _LeftOut(NamedTuple):
    """Until when the effects of a job are left alone, and for how long that is."""

    until: float
    pause: float


class OutboxRelay(Duty):
    """Delivers next runs, effects on families and flows, and hook calls: each at least once, with the same id."""

    def __init__(self, store: Store, hooks: HookCalls, lease: Lease, clock: Clock) -> None:
        super().__init__(lease, polls=2)
        self._store = store
        self._hooks = hooks
        self._clock = clock
        self._left_out: dict[Any, _LeftOut] = {}  #: by the ids of jobs
        self._stopped = False

    def run(self) -> None:
        """Delivers what is pending. Raises StoreError."""
        self._hooks.flush()
        now = self._clock.monotonic()
        self._left_out = {job_id: one for job_id, one in self._left_out.items() if now < one.until + _REMEMBERED}
        but = [job_id for job_id, one in self._left_out.items() if now < one.until][:_MOST_LEFT_OUT]
        for job in self._store.outbox.undelivered(list(ALL_EFFECTS), _AT_ONCE, but, self._hooks.unknown):
            if self._stopped:
                return
            self._deliver(job)

    def _deliver(self, job: Mapping[str, Any]) -> None:
        """Leaves a job out for a while whose effects cannot be delivered, so that it does not hold up the others."""
        try:
            self._store.outbox.deliver(job["_id"])
            if job.get("hook") is not False and isinstance(job["_id"], ObjectId):
                self._hooks.call(job["_id"])
        except Exception as error:
            if isinstance(error, StoreError) and not (is_refusal(error) or is_refused_write(error)):
                raise
            pause = self._leave_out(job["_id"])
            facts = {"job": str(job["_id"]), "reason": brief(error), "pause": pause}
            logger.warning("effects of a job not delivered", extra=facts, exc_info=not isinstance(error, StoreError))

    def _leave_out(self, job_id: Any) -> float:
        """Doubles the pause with each failure in a row; returns it."""
        before = self._left_out.get(job_id)
        pause = self.poll if before is None else min(2 * before.pause, _LONGEST_PAUSE)
        self._left_out[job_id] = _LeftOut(self._clock.monotonic() + pause, pause)
        return pause

    def stop(self) -> None:
        """Leaves what is still pending to other nodes."""
        self._stopped = True
