"""Deletes one job."""

from __future__ import annotations

from bson import ObjectId

from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.termination import await_gone, await_killed
from taskscheduler.store import Store


def delete(store: Store, job_id: ObjectId) -> bool:
    """Delivers the effects of a job, then deletes it; its node stops it if it runs. False if it was gone already."""
    store.outbox.deliver(job_id)
    await_gone(store, job_id, store.clock)
    ended = store.jobs.get(job_id)
    if ended is not None and "gate" in ended:
        await_killed(store, ended, store.clock)  # deleting the document releases the lock
    deleted = store.jobs.delete_one(job_id)
    if deleted is not None and "solo" in deleted:
        store.solo_locks.admit_next([deleted["solo"]])
    if deleted is not None and deleted["status"] == Status.PROCESSING:
        store.wakeups.jobs_cancelled([job_id])
    return deleted is not None
