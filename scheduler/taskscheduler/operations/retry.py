"""Puts ended jobs back in the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import InvalidStateError, JobNotFoundError
from taskscheduler.model.changes import JobChanges, Requeue
from taskscheduler.model.control.urgency import urgent_and_waiting
from taskscheduler.model.document import Document
from taskscheduler.model.flows.membership import comes_after, join_of, membership_of, waits_for_join
from taskscheduler.model.job_ids import id_text
from taskscheduler.model.resumable.steps import before
from taskscheduler.model.sound import sound, sound_job, status_of
from taskscheduler.operations.new_fields import NewFields
from taskscheduler.operations.termination import await_killed
from taskscheduler.store import Store
from taskscheduler.store.jobs import OnceTakenError

PATIENCE = 10.0  #: seconds for which a change of a job is repeated while others change it

REPLACED = "add_job_once has added another job in its place"


class Retrying:
    """Puts jobs back in the queue as they were added, or with changes."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        changes: JobChanges,
        reason: str | None = None,
        from_step: str | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._changes = changes
        self._reason = reason
        self._from_step = from_step
        now = store.clock.now()
        self.due = changes.due(now) or now
        self._fields = NewFields(changes.due_at(self.due), store.options.max_payload)

    def retry(self, job_id: ObjectId, seconds_later: float = 0) -> Document:
        """Puts an ended job back in the queue and returns its document.

        JobNotFoundError if it is not stored. InvalidStateError if it is live or the record of a program, if
        add_job_once has added another job in its place, or if others keep changing it. InvalidDataError.
        """
        store, deadline = self._store, Deadline(PATIENCE, self._clock)
        while True:
            job = _ended(store, job_id)
            _check_join(store, job)
            again = self.again(job, seconds_later)
            store.outbox.deliver(job_id)  # first, since they follow from how the job ended
            if (member := membership_of(job)) is not None:
                store.flows.reopen([member.flow])
            await_killed(store, sound_job(job), self._clock)
            try:
                queued = self._rearm(job) if "service" in sound_job(job) else store.jobs.requeue(job, again)
            except OnceTakenError as error:
                raise InvalidStateError(f"job {job_id} cannot be tried again: {REPLACED}") from error
            if queued is not None:
                announce_queued(store, [queued])
                return _settled(store, queued) if waits_for_join(queued) else queued
            if deadline.passed:
                raise too_busy(job_id)

    def again(self, job: Mapping[str, Any], seconds_later: float = 0) -> Requeue:
        """Returns how a job is put back in the queue; `seconds_later` than others. InvalidDataError.

        Jobs that get the same fields share one mapping of them.
        """
        at, fields = self.due + timedelta(seconds=seconds_later), self._fields.of(job)
        if self._from_step is not None:
            fields = {**fields, **before(job, self._from_step)}
        return Requeue(fields, at if at > self._store.clock.now() else None, self._reason, self._from_step)

    def _rearm(self, job: Mapping[str, Any]) -> Document | None:
        if self._changes:
            name = sound(job, "service", {}).get("name")
            raise InvalidStateError(f"service {name!r} is changed by start_service; a retry starts it as it is")
        return self._store.services.rearm(job)


def _check_join(store: Store, job: Mapping[str, Any]) -> None:
    """Raises InvalidStateError for a job that would be cancelled at once, since one that it comes after has failed."""
    join = comes_after(job)
    for _, member in store.flow_effects.joins.broken([join] if join is not None else []):
        name = member.get("label") or member.get("class")
        raise InvalidStateError(
            f"job {job['_id']} comes after {name} ({member['_id']}), which is {status_of(member).label}; "
            "retry that first, or what has failed in the flow"
        )


def _settled(store: Store, queued: Document) -> Document:
    """Lets out a job that waits for others of its flow if they have ended by now; returns its document then."""
    join = join_of(queued["blocked"])
    for job_id, _ in store.flow_effects.settle([join] if join is not None else []):
        store.outbox.deliver(job_id)
    return store.jobs.get(queued["_id"]) or queued


def runnable(store: Store, job_id: ObjectId) -> Document:
    """Returns a stored job that nodes could run. JobNotFoundError; InvalidStateError for an id of somebody else."""
    job = store.jobs.get(job_id)
    if job is None:
        raise JobNotFoundError(job_id)
    if not isinstance(job_id, ObjectId):
        raise InvalidStateError(f"job {id_text(job_id)} cannot run: its id is no ObjectId; cancel or delete it")
    return job


def _ended(store: Store, job_id: ObjectId) -> Document:
    job = runnable(store, job_id)
    if "program" in job:
        raise InvalidStateError(f"job {job_id} is the record of a program, which only that program can run again")
    status = status_of(job)
    if not status.is_final:
        raise InvalidStateError(f"job {job_id} is {status.label}; only a job that has ended can be tried again")
    return job


def too_busy(job_id: ObjectId) -> InvalidStateError:
    """Returns what is raised if others have changed a job all the time."""
    return InvalidStateError(f"others changed job {job_id} again and again for {PATIENCE:g} s; try again")


def announce_queued(store: Store, jobs: Sequence[Mapping[str, Any]]) -> None:
    """Wakes nodes for jobs that were just queued, logs their status, and admits those whose controls have room."""
    queues = {queue for job in jobs if (queue := sound(job, "queue")) is not None}
    forced = any(sound(job, "options", {}).get("force_spawn") is True for job in jobs)
    store.wakeups.jobs_rearmed([job["_id"] for job in jobs], queues, forced, urgent_and_waiting(jobs))
    store.events.append(
        [{"job": job["_id"], "status": job["status"], "attempt": sound(job, "attempt", 0)} for job in jobs]
    )
    if keys := {job["blocked"] for job in jobs if "blocked" in job}:
        store.admission.admit_next(keys)
