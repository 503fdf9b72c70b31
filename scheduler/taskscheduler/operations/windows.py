"""Adds a job with the options `unique_for` or `debounce`, unless an equal one stands in its place.

The window of `unique_for` is a record beside the jobs. It names the job that is accepted before that is stored, so an
adder may die in between: whoever adds the same job next finds the record unsettled, and stores his own under its id.
"""

from __future__ import annotations

from contextlib import suppress

from bson import ObjectId

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import DuplicateJobError
from taskscheduler.model.document import Document, NewJob
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import JobOptions
from taskscheduler.model.payload import encode
from taskscheduler.model.sound import is_number, sound
from taskscheduler.model.uniqueness import shared_key
from taskscheduler.operations.contention import PATIENCE, Added, check_contention
from taskscheduler.operations.update import announce_changed
from taskscheduler.operations.wake import wake_nodes
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError
from taskscheduler.store.jobs import OnceTakenError


def add_unique(store: Store, clock: Clock, new: NewJob, options: JobOptions) -> Added:
    """Stores a job and opens a window for it, or returns the job that was accepted in an open one."""
    name, data = new.document["class"], new.document["data"]
    key = shared_key(name, data, options.ignore_data, options.unique_key)
    deadline, job_id = Deadline(PATIENCE, clock), new.id
    while True:
        window = store.windows.open(key, job_id, options.unique_for)
        if window.is_settled:
            return store.jobs.get(window.job) or deleted_job(new, window.job), "existing"
        mine = new if window.job == new.id else under(new, window.job, store.options.max_payload)
        try:
            store.inserts.insert(mine)
        except DuplicateJobError:
            _settle(store, key, window.job, options.unique_for)
            check_contention(new, deadline)
            job_id = ObjectId()  # that one is in use
            continue
        wake_nodes(store, [mine.document])
        with suppress(StoreError):  # the job is stored; others who find the record unsettled settle it
            store.windows.settle(key, mine.id, options.unique_for)
        return mine.document, "created"


def _settle(store: Store, key: str, job_id: ObjectId, seconds: float) -> None:
    """Settles the window of a job that somebody else has stored, once a majority of the servers has that."""
    job = store.inserts.confirmed(job_id)
    if job is not None:
        chosen = sound(job, "options", {}).get("unique_for")
        lasts = chosen if is_number(chosen) and chosen > 0 else seconds
        store.windows.settle_for_others(key, job_id, sound(job, "created"), lasts)


def under(new: NewJob, job_id: ObjectId, max_payload: int) -> NewJob:
    """Returns the same job under another id."""
    document: Document = {**new.document, "_id": job_id}
    if "series" in document:
        document["series"] = job_id
    return NewJob(job_id, document, encode(document, max_payload))


def deleted_job(new: NewJob, job_id: ObjectId) -> Document:
    """Returns what stands for an accepted job that is deleted: it has this id, and will not run."""
    return {**new.document, "_id": job_id, "status": int(Status.CANCELED)}


def add_debounced(store: Store, clock: Clock, new: NewJob, options: JobOptions) -> Added:
    """Puts the queued job of the same key off and gives it the new data, or stores a job that holds the key."""
    deadline = Deadline(PATIENCE, clock)
    while True:
        changed = _put_off(store, new, options)
        if changed is not None:
            return changed, "debounced"
        try:
            store.inserts.insert(new)
        except OnceTakenError:
            check_contention(new, deadline)
            continue
        wake_nodes(store, [new.document])
        return new.document, "created"


def _put_off(store: Store, new: NewJob, options: JobOptions) -> Document | None:
    key, data = new.document["dedupe"], new.document["data"]
    for status in (Status.POSTPONED, Status.WAITING):
        job = store.debounced_jobs.put_off(key, status, data, options.debounce, options.debounce_max)
        if job is not None:
            if job["status"] != status:  # it waited for a slot
                announce_changed(store, {"status": status}, job)
            return job
    return None
