"""Decides what it takes to end a job from outside, and all the runs of its series with it."""

from __future__ import annotations

from bson import ObjectId

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.store import Store


def cancel(store: Store, job_id: ObjectId, only_queued: bool = False) -> tuple[Document | None, list[ObjectId]]:
    """End a live job. Its document as it was before, or None if it was not cancelled; and all jobs that ended by it."""
    before = store.jobs.cancel(job_id, only_queued)
    if before is None:
        return None, []
    if before["status"] == Status.PROCESSING:
        store.wakeups.jobs_cancelled([job_id])
    elif "gate" in before:
        store.solo_locks.admit_next([before["gate"]])
    ended = [job_id, *(job for job, _ in store.outbox.deliver(job_id))]
    store.events.append([{"job": job_id, "status": int(Status.CANCELED), "attempt": before["attempt"]}])
    return before, ended


def live_series(store: Store, series: ObjectId) -> list[ObjectId] | None:
    """The live runs of a series whose planned ones are kept from being added; None if it has neither any more.

    To be asked again until then: a run may end, or be added, in between.
    """
    live = store.families.series(series)
    ended = store.families.end_series(series)
    for run in ended:
        store.outbox.deliver(run)
    return live if live or ended else None
