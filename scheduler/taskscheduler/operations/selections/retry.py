"""Puts many ended jobs back in the queue, spread over a time if wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from taskscheduler.errors import InvalidStateError, JobNotFoundError
from taskscheduler.events import Announcer
from taskscheduler.model.changes import Requeue
from taskscheduler.model.control.keys import first_list, is_controlled
from taskscheduler.model.document import Document
from taskscheduler.model.lenient import UnreadableDocument
from taskscheduler.model.lifecycle import FINAL, Status
from taskscheduler.model.sound import sound_job
from taskscheduler.operations.retry import REPLACED, Retrying, announce_queued
from taskscheduler.operations.selections.batches import CHANGED, note_refusal
from taskscheduler.operations.selections.result import SelectionResult
from taskscheduler.operations.termination import may_run
from taskscheduler.process import Processes
from taskscheduler.store import Store
from taskscheduler.store.selections.bulk import requeue_kind

_PROGRAM = "they are records of programs"


class ManyRetries:
    """Puts jobs back in the queue; those about which more must be known than their document says, one by one."""

    statuses = FINAL

    def __init__(
        self, store: Store, retrying: Retrying, announcer: Announcer, processes: Processes, spread: float
    ) -> None:
        self._store = store
        self._retrying = retrying
        self._announcer = announcer
        self._processes = processes
        self._spread = spread

    def apply(self, jobs: Sequence[Document], places: Sequence[float], result: SelectionResult) -> None:
        """Puts a batch of jobs back in the queue; `places`: where each stands among all, from 0 to 1."""
        plain: list[tuple[Document, Requeue]] = []
        single: list[tuple[Document, float]] = []
        for job, place in zip(jobs, places, strict=True):
            later = place * self._spread
            if "program" in job:
                result.reasons[_PROGRAM] += 1
            elif _is_plain(job):
                plain.append((job, self._retrying.again(job, later)))
            else:
                single.append((job, later))
        for alike in _divided(plain):
            self._together(alike, result)
        for job, later in single:
            self._alone(job, later, result)

    def _together(self, alike: Sequence[tuple[Document, Requeue]], result: SelectionResult) -> None:
        bulk = self._store.bulk
        written = bulk.requeue_each(alike) if "once_key" in alike[0][0] else bulk.requeue_alike(alike)
        result.count += written.changed
        if written.refused:
            result.reasons[REPLACED] += written.refused
        if missed := len(alike) - written.changed - written.refused:
            result.reasons[CHANGED] += missed
        queued = set(written.ids)
        announce_queued(self._store, [_queued(job, again) for job, again in alike if job["_id"] in queued])
        if self._announcer.wanted:
            for document in self._store.jobs.all_of(written.ids).values():
                self._announcer.announce_requeued(self._processes.process(document))

    def _alone(self, job: Document, later: float, result: SelectionResult) -> None:
        job_id: ObjectId = job["_id"]
        try:
            document = self._retrying.retry(job_id, later)
        except (InvalidStateError, JobNotFoundError) as error:
            note_refusal(result, job_id, error)
            return
        result.count += 1
        self._announcer.announce_requeued(self._processes.process(document))


def _divided(jobs: Sequence[tuple[Document, Requeue]]) -> list[list[tuple[Document, Requeue]]]:
    """Divides jobs into those that may share a write: alike, and with the same new fields."""
    groups: dict[Any, list[tuple[Document, Requeue]]] = {}
    for job, again in jobs:
        groups.setdefault((requeue_kind(job, again), id(again.fields)), []).append((job, again))
    return list(groups.values())


def _is_plain(job: Document) -> bool:
    """Whether nothing has to be done, or waited for, before the job is put back in the queue."""
    known = sound_job(job)
    pending = job.get("pending", [])
    owes = not isinstance(pending, list) or not {"next", "family", "flow"}.isdisjoint(pending)
    special = isinstance(job, UnreadableDocument) or "service" in job or "flow" in job
    return not special and not owes and not may_run(known)


def _parked(job: Mapping[str, Any], again: Requeue) -> Document:
    """Returns what tells of a job that was put back in the queue that it is parked, and where."""
    return {"parked_at": None, "blocked": first_list({**job, **again.fields})}


def _queued(job: Mapping[str, Any], again: Requeue) -> Document:
    """Returns what is to be announced of a job that was put back in the queue."""
    later = is_controlled(job) or again.at is not None
    parked = _parked(job, again) if is_controlled(job) and again.at is None else {}
    status = int(Status.POSTPONED if later else Status.WAITING)
    return {**job, **again.fields, "status": status, **parked}
