"""Cancels many live jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskscheduler.errors import JobNotFoundError
from taskscheduler.model.document import Document
from taskscheduler.model.lenient import UnreadableDocument
from taskscheduler.model.lifecycle import LIVE, QUEUED, Status
from taskscheduler.model.sound import sound, status_of
from taskscheduler.operations.cancel import JobCanceller
from taskscheduler.operations.selections.batches import CHANGED, note_refusal
from taskscheduler.operations.selections.result import SelectionResult
from taskscheduler.store import Store
from taskscheduler.store.selections.bulk import Written

_MORE_THAN_ONE_WRITE = ("gate", "series", "service", "program")


class ManyCancellations:
    """Cancels jobs; those that run, hold a lock or belong to a series one by one."""

    statuses = LIVE

    def __init__(self, store: Store, canceller: JobCanceller, reason: str | None) -> None:
        self._store = store
        self._canceller = canceller
        self._reason = reason

    def apply(self, jobs: Sequence[Document], places: Sequence[float], result: SelectionResult) -> None:  # noqa: ARG002
        """Cancels a batch of jobs."""
        cancelled = self.together([job for job in jobs if is_one_write(job)])
        result.count += cancelled.changed
        done = set(cancelled.ids)
        for job in jobs:
            if job["_id"] not in done:
                self._alone(job["_id"], result)

    def together(self, jobs: Sequence[Document]) -> Written:
        """Cancels jobs for which `is_one_write`; returns those that it cancelled."""
        if not jobs:
            return Written(0, [], 0)
        store, canceled = self._store, int(Status.CANCELED)
        written = store.bulk.cancel_queued([job["_id"] for job in jobs], self._reason)
        attempts = {job["_id"]: sound(job, "attempt", 0) for job in jobs}
        store.events.append([{"job": one, "status": canceled, "attempt": attempts[one]} for one in written.ids])
        others = store.outbox.deliver_cancelled(written.ids)
        self._canceller.announce_ended([*written.ids, *(job_id for job_id, _ in others)])
        return written

    def _alone(self, job_id: Any, result: SelectionResult) -> None:
        try:
            if self._canceller.cancel_series(job_id, reason=self._reason):
                result.count += 1
            else:
                result.reasons[CHANGED] += 1
        except JobNotFoundError as error:
            note_refusal(result, job_id, error)


def is_one_write(job: Document) -> bool:
    """Whether one write cancels the job, and only effects are left to deliver."""
    special = isinstance(job, UnreadableDocument) or any(name in job for name in _MORE_THAN_ONE_WRITE)
    return status_of(job) in QUEUED and not special
