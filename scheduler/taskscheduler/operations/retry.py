"""Decides what it takes to try a job again, delete one, or take back what nodes hold that are gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import InvalidStateError, JobNotFoundError
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.termination import _await_killed
from taskscheduler.store import Store
from taskscheduler.store.jobs import OnceTakenError

COUNTED_BY: Mapping[str, str] = {"job": "class", "queue": "queue"}  #: what jobs are counted by, and its field

_PATIENCE = 10.0  #: seconds for which a retry contends with others that change the same job


def retry(store: Store, job_id: ObjectId, clock: Clock) -> Document:
    """The document of an ended job that waits again. InvalidStateError or JobNotFoundError."""
    deadline = Deadline(_PATIENCE, clock)
    while True:
        job = _ended(store, job_id)
        store.outbox.deliver(job_id)  # its next run and its family first: they follow from how it ended
        _await_killed(store, job, clock)
        try:
            again = store.services.rearm(job) if "service" in job else store.jobs.requeue(job)
        except OnceTakenError as error:
            raise InvalidStateError(
                f"job {job_id} cannot be tried again: another job was added in its place by add_job_once"
            ) from error
        if again is not None:
            tell(store, again)
            return again
        if deadline.passed:
            raise InvalidStateError(f"job {job_id} is changed by others again and again; try later")


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


def tell(store: Store, job: Mapping[str, Any]) -> None:
    store.wakeups.jobs_rearmed([job["_id"]], [job["queue"]], forced=job["options"]["force_spawn"])
    store.events.append([{"job": job["_id"], "status": job["status"], "attempt": job["attempt"]}])
    if "solo" in job:
        store.solo_locks.admit_next([job["solo"]])
