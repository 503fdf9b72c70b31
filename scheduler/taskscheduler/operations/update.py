"""Changes a queued job in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import InvalidStateError
from taskscheduler.model.changes import JobChanges, listed_anew, timing, unblocked
from taskscheduler.model.control.keys import keys_of
from taskscheduler.model.control.urgency import urgent_and_waiting
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import QUEUED
from taskscheduler.model.sound import sound, status_of
from taskscheduler.operations.new_fields import NewFields
from taskscheduler.operations.retry import PATIENCE, runnable, too_busy
from taskscheduler.store import Store
from taskscheduler.store.jobs import OnceTakenError


def update(store: Store, clock: Clock, job_id: ObjectId, changes: JobChanges) -> Document:
    """Changes a job that waits or is postponed and returns its new document.

    JobNotFoundError if it is not stored. InvalidStateError if it has started, is a service or gets the key of another
    job. InvalidDataError.
    """
    new, deadline = NewFields(changes, store.options.max_payload), Deadline(PATIENCE, clock)
    while True:
        job = _queued(store, job_id)
        fields, now = dict(new.of(job)), store.clock.now()
        if (at := changes.due(now)) is not None:
            fields |= timing(job, at, now)
        elif "blocked" in job and "tags" in fields:
            fields |= unblocked(job, now)  # the pause of a tag that it no longer has does not hold it
        fields |= listed_anew(job, fields)
        try:
            changed = store.queued_jobs.change(job, fields)
        except OnceTakenError as error:
            raise InvalidStateError(f"job {job_id} cannot get these data: an equal job is live already") from error
        if changed is not None:
            announce_changed(store, job, changed)
            return changed
        if deadline.passed:
            raise too_busy(job_id)


def _queued(store: Store, job_id: ObjectId) -> Document:
    job = runnable(store, job_id)
    if "service" in job:
        raise InvalidStateError(f"job {job_id} is a service: change it with start_service")
    if status_of(job) not in QUEUED:
        status = status_of(job).label
        raise InvalidStateError(f"job {job_id} is {status}; only a job that waits or is postponed can be changed")
    return job


def announce_changed(store: Store, before: Mapping[str, Any], job: Mapping[str, Any]) -> None:
    """Wakes nodes, logs a new status, and admits the next solo job of a key whose lock may be free now."""
    queues = [queue] if (queue := sound(job, "queue")) is not None else []
    forced = sound(job, "options", {}).get("force_spawn") is True
    store.wakeups.jobs_rearmed([job["_id"]], queues, forced, urgent_and_waiting([job]))
    if job["status"] != before["status"]:
        store.events.append([{"job": job["_id"], "status": job["status"], "attempt": sound(job, "attempt", 0)}])
    if "parked_at" in job or ("gate" in before and "gate" not in job):
        store.admission.admit_next([*keys_of(job), *([job["blocked"]] if "blocked" in job else [])])
