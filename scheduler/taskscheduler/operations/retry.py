"""Puts ended jobs back in the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import InvalidStateError, JobNotFoundError
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.termination import await_killed
from taskscheduler.store import Store
from taskscheduler.store.jobs import OnceTakenError

_PATIENCE = 10.0  #: seconds for which a retry is repeated while others change the same job


def retry(store: Store, job_id: ObjectId, clock: Clock) -> Document:
    """Puts an ended job back in the queue and returns its document.

    JobNotFoundError if it is not stored. InvalidStateError if it is live or the record of a program, if add_job_once
    has added another job in its place, or if others keep changing it.
    """
    deadline = Deadline(_PATIENCE, clock)
    while True:
        job = _ended(store, job_id)
        store.outbox.deliver(job_id)  # first, since they follow from how the job ended
        await_killed(store, job, clock)
        try:
            again = store.services.rearm(job) if "service" in job else store.jobs.requeue(job)
        except OnceTakenError as error:
            raise InvalidStateError(
                f"job {job_id} cannot be tried again: add_job_once has added another job in its place"
            ) from error
        if again is not None:
            announce_queued(store, again)
            return again
        if deadline.passed:
            raise InvalidStateError(f"others changed job {job_id} again and again for {_PATIENCE:g} s; try again")


def _ended(store: Store, job_id: ObjectId) -> Document:
    job = store.jobs.get(job_id)
    if job is None:
        raise JobNotFoundError(job_id)
    if "program" in job:
        raise InvalidStateError(f"job {job_id} is the record of a program, which only that program can run again")
    status = Status(job["status"])
    if not status.is_final:
        raise InvalidStateError(f"job {job_id} is {status.label}; only a job that has ended can be tried again")
    return job


def announce_queued(store: Store, job: Mapping[str, Any]) -> None:
    """Wakes nodes for a job that was just queued, logs its status, and admits it if it is solo and its lock is free."""
    store.wakeups.jobs_rearmed([job["_id"]], [job["queue"]], forced=job["options"]["force_spawn"])
    store.events.append([{"job": job["_id"], "status": job["status"], "attempt": job["attempt"]}])
    if "solo" in job:
        store.solo_locks.admit_next([job["solo"]])
