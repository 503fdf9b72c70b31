"""Ends jobs that have not started by the time by which they had to. Any process may do it at any time."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from taskscheduler.model.lifecycle import Status, Transition, target
from taskscheduler.model.readable import Fault, fault_of_late
from taskscheduler.model.retries import move_when_late
from taskscheduler.operations.set_aside import set_aside
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError, brief, is_refused_write
from taskscheduler.store.fence import Fence

logger = logging.getLogger(__name__)

_QUEUED = {"status": {"$lt": int(Status.PROCESSING)}}


def end_late_jobs(store: Store) -> int:
    """Ends the queued jobs whose time to start is over, some at most; returns how many it has ended."""
    return sum(end_late(store, job) for job in store.late_jobs.find())


def release_late(store: Store, fence: Fence, job: Mapping[str, Any]) -> bool:
    """Ends a sound job that was claimed too late and has not begun; returns whether it was too late."""
    if "expires" not in job or job["expires"] > store.clock.now():
        return False
    store.claims.release(fence)
    stored = store.jobs.get(fence.job_id)
    if stored is not None:
        end_late(store, stored)
    return True


def end_late(store: Store, job: Mapping[str, Any]) -> bool:
    """Ends a queued job whose time to start is over, unless somebody has changed it since it was read.

    A job that has never started is CANCELED with ExpiredError. One that waits for a retry ends as its last attempt did.
    Returns whether it was ended.
    """
    fault = fault_of_late(job)
    if fault is not None:
        return set_aside(store, job["_id"], fault, _QUEUED)
    move = move_when_late(job)
    before = _ended(store, job, move)
    if before is None:
        return False
    store.admission.ended(before)
    store.events.append([{"job": job["_id"], "status": int(target(move)), "attempt": job["attempt"]}])
    store.outbox.deliver(job["_id"])
    logger.warning("job has not started in time", extra={"job": str(job["_id"]), "job_name": job.get("class")})
    return True


def _ended(store: Store, job: Mapping[str, Any], move: Transition) -> Mapping[str, Any] | None:
    try:
        return store.late_jobs.end(job, move, _error(job, move))
    except StoreError as error:
        if not is_refused_write(error):
            raise
        set_aside(store, job["_id"], Fault("document", f"does not take its end: {brief(error)}"), _QUEUED)
        return None


def _error(job: Mapping[str, Any], move: Transition) -> Mapping[str, Any] | None:
    if move is Transition.CANCEL_LATE:
        message = f"it has not started by {job['expires']:%Y-%m-%d %H:%M:%S} UTC, as its option start_by demands"
        return {"type": "ExpiredError", "message": message}
    error = job.get("error")
    why = f"its next try has not begun within {job['options'].get('retry_for', 0):g} s of the first start"
    return {**error, "no_retry": why} if isinstance(error, Mapping) else error
