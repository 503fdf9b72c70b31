"""Ends jobs under controls whose class no node knows. The claimer claims those without controls instead."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from taskscheduler.model.control.keys import NODE
from taskscheduler.model.control.known import Coverage, coverage
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.nodes import NodeState, state_of
from taskscheduler.model.sound import sound
from taskscheduler.store import Store

logger = logging.getLogger(__name__)


def end_unknown(store: Store, timeout: float) -> int:
    """Fails the parked jobs that have waited for so many seconds for a node that knows them; returns how many."""
    lists = store.blocked_jobs.keys(NODE)
    up = [node for node in store.nodes.all() if state_of(node) is NodeState.UP] if lists else []
    jobs = [job for one in lists for job in store.blocked_jobs.overdue(one, timeout)]
    unknown = [job for job in jobs if coverage(job["class"], job["queue"], up) is Coverage.UNKNOWN]
    return sum(_end(store, job) for job in unknown)


def _end(store: Store, job: Mapping[str, Any]) -> bool:
    message = f"no node that serves the queue {job['queue']!r} has known the job {job['class']!r:.80} while it waited"
    error = {"type": "InvalidJobError", "message": message}
    if not store.invalid_jobs.fail(job["_id"], error, {"blocked": job["blocked"], "parked_at": {"$exists": True}}):
        return False
    logger.warning("job failed: InvalidJobError: %s", message, extra={"job": str(job["_id"])})
    store.events.append([{"job": job["_id"], "status": int(Status.FAILED), "attempt": sound(job, "attempt", 0)}])
    store.outbox.deliver(job["_id"])
    store.admission.ended(job)
    return True
