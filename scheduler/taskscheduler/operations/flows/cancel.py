"""Cancels a flow: all of its jobs that have not ended."""

from __future__ import annotations

from bson import ObjectId

from taskscheduler.errors import FlowNotFoundError
from taskscheduler.model.control.keys import is_controlled, keys_of
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.sound import sound
from taskscheduler.operations.cancel import JobCanceller
from taskscheduler.store import Store

_AT_ONCE = 1000  #: jobs that are cancelled in one write


def cancel_flow(store: Store, canceller: JobCanceller, flow_id: ObjectId, reason: str | None) -> bool:
    """Cancels a flow; returns False if it has ended. Safe to repeat. FlowNotFoundError.

    What waits is cancelled before anything follows from it, so that all of it has this reason.
    """
    if store.flows.note_cancellation(flow_id, reason) is None:
        if store.flows.get(flow_id) is None:
            raise FlowNotFoundError(flow_id)
        return False
    cancelled = _cancel_queued(store, flow_id, reason)
    for start in range(0, len(cancelled), _AT_ONCE):
        store.outbox.deliver_cancelled(cancelled[start : start + _AT_ONCE])
    canceller.announce_ended(cancelled)
    for job_id in store.flows.jobs.live(flow_id):
        canceller.cancel(job_id, reason=reason)
    store.flow_effects.end_flow(flow_id)
    return True


def _cancel_queued(store: Store, flow_id: ObjectId, reason: str | None) -> list[ObjectId]:
    """Cancels the jobs that have not begun; returns them. What follows from that is left to be done."""
    cancelled = list[ObjectId]()
    while jobs := store.flows.jobs.queued(flow_id, _AT_ONCE):
        written = store.bulk.cancel_queued([job["_id"] for job in jobs], reason)
        done = set(written.ids)
        _note(store, [job for job in jobs if job["_id"] in done])
        cancelled += written.ids
    return cancelled


def _note(store: Store, jobs: list[Document]) -> None:
    canceled = int(Status.CANCELED)
    store.events.append([{"job": job["_id"], "status": canceled, "attempt": sound(job, "attempt", 0)} for job in jobs])
    if keys := {key for job in jobs if is_controlled(job) for key in keys_of(job)}:
        store.admission.admit_next(keys)
