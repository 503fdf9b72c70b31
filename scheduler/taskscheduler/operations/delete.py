"""Delete one job, all of a class or queue, or old ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.termination import await_gone, await_killed
from taskscheduler.store import Store


def delete(store: Store, job_id: ObjectId) -> bool:
    """Deletes a job once its effects are delivered, and stops it if it runs. False if somebody else was faster."""
    store.outbox.deliver(job_id)
    await_gone(store, job_id, store.clock)
    ended = store.jobs.get(job_id)
    if ended is not None and "gate" in ended:
        await_killed(store, ended, store.clock)  # deleting the document releases the lock
    deleted = store.jobs.delete_one(job_id)
    if deleted is not None and "solo" in deleted:
        store.solo_locks.admit_next([deleted["solo"]])
    if deleted is not None and deleted.get("status", -1) == Status.PROCESSING:
        store.wakeups.jobs_cancelled([job_id])
    return deleted is not None


def flush(store: Store, query: Mapping[str, Any]) -> int:
    """Deletes all jobs that match, and stops those that run; returns how many were deleted."""
    running = store.jobs.running(query)
    deleted = store.jobs.delete(query)
    store.wakeups.jobs_cancelled(running)
    return deleted
