"""Cancel a job, and all the runs of its series with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bson import ObjectId

from taskscheduler.connection import Connection
from taskscheduler.errors import JobNotFoundError
from taskscheduler.events import Announcer
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import UNSUCCESSFUL, Status
from taskscheduler.model.sound import sound, status_of
from taskscheduler.store import Store


class JobCanceller:
    """Cancels the jobs of one database, and announces what was cancelled."""

    def __init__(self, connection: Connection, announcer: Announcer) -> None:
        self._connection = connection
        self._announcer = announcer

    def cancel(self, job_id: ObjectId, only_queued: bool = False, reason: str | None = None) -> Document | None:
        """Cancels one live job; returns the job as it was before, or None if it was not cancelled."""
        store = self._connection.store
        before, ended = cancel(store, job_id, only_queued, reason)
        if before is not None and self._announcer.wanted:
            self._announce(store, ended, before)
        return before

    def cancel_series(self, job_id: ObjectId, only_queued: bool = False, reason: str | None = None) -> bool:
        """Cancels a job and the runs that would follow it. JobNotFoundError if the id is unknown.

        Returns whether it was cancelled; False for a job that has ended, and with `only_queued` for one that runs.
        """
        store = self._connection.store
        before = self.cancel(job_id, only_queued, reason)
        document = before or store.jobs.get(job_id)
        if document is None:
            raise JobNotFoundError(job_id)
        if before is None and only_queued:
            return False
        if (series := sound(document, "series")) is not None:
            self._end_series(series, reason)
        return before is not None

    def _end_series(self, series: ObjectId, reason: str | None) -> None:
        while (runs := live_series(self._connection.store, series)) is not None:
            for run in runs:
                self.cancel(run, reason=reason)

    def announce_ended(self, ids: Sequence[ObjectId]) -> None:
        """Announces jobs that were cancelled, or ended by that."""
        if self._announcer.wanted:
            for document in self._connection.store.jobs.all_of(ids).values():
                self._announcer.announce_status(document)

    def _announce(self, store: Store, ended: Iterable[ObjectId], before: Document) -> None:
        for job_id in ended:
            self._announcer.announce_status(store.jobs.get(job_id) or before)


def cancel(
    store: Store, job_id: ObjectId, only_queued: bool = False, reason: str | None = None
) -> tuple[Document | None, list[ObjectId]]:
    """Cancels a live job; returns its document as it was before, and all jobs that ended by it.

    The document is None if the job was not cancelled.
    """
    before = store.jobs.cancel(job_id, only_queued, reason)
    if before is None:
        return None, []
    if status_of(before) is Status.PROCESSING:
        store.wakeups.jobs_cancelled([job_id])
    else:
        store.admission.ended(before)
    ended = [job_id, *(job for job, _ in store.outbox.deliver(job_id))]
    store.events.append([{"job": job_id, "status": int(Status.CANCELED), "attempt": sound(before, "attempt", 0)}])
    return before, ended


def end_orphan(store: Store, job_id: ObjectId, parent_id: ObjectId) -> None:
    """Cancels a child whose parent has ended badly: it may have been added in a transaction meanwhile."""
    parent = store.jobs.get(parent_id)
    if parent is not None and status_of(parent) in UNSUCCESSFUL:
        cancel(store, job_id)


def live_series(store: Store, series: ObjectId) -> list[ObjectId] | None:
    """Returns the live runs of a series and keeps its planned ones from being added; None if it has neither.

    Ask again until then: a run may end, or be added, in between.
    """
    live = store.families.series(series)
    ended = store.families.end_series(series)
    for run in ended:
        store.outbox.deliver(run)
    return live if live or ended or store.families.goes_on(series) else None
