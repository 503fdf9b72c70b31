"""OutboxRelay: delivers the effects of ended jobs that a crashed process left pending."""

from __future__ import annotations

from bson import ObjectId

from taskscheduler.store import Store
from taskscheduler.store.outbox import FAMILY, HOOK, NEXT
from taskscheduler_daemon.node.completion.hooks import HookCalls
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.state.lease import Lease

_AT_ONCE = 100  #: jobs per run


class OutboxRelay(Duty):
    """Delivers next runs, effects on families, and hook calls. Each is delivered at least once, with the same id."""

    def __init__(self, store: Store, hooks: HookCalls, lease: Lease) -> None:
        super().__init__(lease, polls=2)
        self._store = store
        self._hooks = hooks
        self._stopped = False

    def run(self) -> None:
        """Delivers what is pending. Raises StoreError."""
        for job in self._store.outbox.undelivered([NEXT, FAMILY, HOOK], _AT_ONCE):
            if self._stopped:
                return
            self._store.outbox.deliver(job["_id"])
            if job.get("hook") is not False and isinstance(job["_id"], ObjectId):
                self._hooks.call(job["_id"])

    def stop(self) -> None:
        """Leaves what is still pending to other nodes."""
        self._stopped = True
