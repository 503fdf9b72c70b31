"""Delete one job, all of a class or queue, or old ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from bson import ObjectId

from taskscheduler.errors import JobNotFoundError
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.sound import sound_job, status_of
from taskscheduler.operations.cancel import JobCanceller, cancel
from taskscheduler.operations.logs.reading import sweep_logs
from taskscheduler.operations.termination import await_gone, await_killed
from taskscheduler.store import Store

_AT_ONCE = 1000  #: jobs that are cancelled in one write


def delete_job(store: Store, canceller: JobCanceller, job_id: ObjectId) -> bool:
    """Deletes a job in any status, and cancels it first if it has not ended; False if somebody else was faster.

    JobNotFoundError if it is not stored.
    """
    job = store.jobs.get(job_id)
    if job is None:
        raise JobNotFoundError(job_id)
    if not status_of(job).is_final:
        canceller.cancel_series(job_id)
    return delete(store, job_id)


def delete(store: Store, job_id: ObjectId) -> bool:
    """Deletes a job once its effects are delivered, and stops it if it runs. False if somebody else was faster."""
    store.outbox.deliver(job_id)
    await_gone(store, job_id, store.clock)
    ended = store.jobs.get(job_id)
    if ended is not None and "gate" in ended:
        await_killed(store, sound_job(ended), store.clock)  # deleting the document releases the lock
    deleted = store.jobs.delete_one(job_id)
    if deleted is not None:
        store.admission.ended(deleted)
        store.logs.delete([job_id])
    if deleted is not None and status_of(deleted) is Status.PROCESSING:
        store.wakeups.jobs_cancelled([job_id])
    return deleted is not None


def flush(store: Store, query: Mapping[str, Any]) -> int:
    """Deletes all jobs that match, and stops those that run; returns how many were deleted.

    What comes after them in flows is cancelled.
    """
    _cancel_members(store, query)
    running = store.jobs.running(query)
    deleted = store.jobs.delete(query)
    store.wakeups.jobs_cancelled(running)
    if deleted:
        sweep_logs(store)
    return deleted


def delete_old(store: Store, query: Mapping[str, Any], age: timedelta) -> int:
    """Deletes jobs that match and ended longer ago than `age`; returns how many."""
    deleted = store.jobs.delete_old(query, age)
    if deleted:
        sweep_logs(store)
    return deleted


def _cancel_members(store: Store, query: Mapping[str, Any]) -> None:
    """Cancels live jobs of flows, so that others do not wait for them, nor run as if they were done."""
    if not store.flows.are_used():
        return
    members = store.flows.jobs.live_matching(query)
    for start in range(0, len(members), _AT_ONCE):
        part = members[start : start + _AT_ONCE]
        store.outbox.deliver_cancelled(store.bulk.cancel_queued(part, None).ids)
    for job_id in store.flows.jobs.live_matching(query):
        cancel(store, job_id)
