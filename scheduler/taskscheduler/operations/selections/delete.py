"""Deletes many jobs; those that have not ended are cancelled first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskscheduler.errors import InvalidStateError, JobNotFoundError
from taskscheduler.model.document import Document
from taskscheduler.model.lenient import UnreadableDocument
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.sound import status_of
from taskscheduler.operations.cancel import JobCanceller
from taskscheduler.operations.delete import delete_job
from taskscheduler.operations.selections.batches import note_refusal
from taskscheduler.operations.selections.cancel import ManyCancellations, is_one_write
from taskscheduler.operations.selections.result import SelectionResult
from taskscheduler.store import Store


class ManyDeletions:
    """Deletes jobs: those that have ended, or can be cancelled, together; all others one by one."""

    statuses = frozenset(Status)

    def __init__(self, store: Store, canceller: JobCanceller) -> None:
        self._store = store
        self._canceller = canceller
        self._cancellations = ManyCancellations(store, canceller, None)

    def apply(self, jobs: Sequence[Document], places: Sequence[float], result: SelectionResult) -> None:  # noqa: ARG002
        """Deletes a batch of jobs."""
        queued = [job for job in jobs if is_one_write(job)]
        self._cancellations.together(queued)
        quick = [job["_id"] for job in jobs if is_one_write(job) or _has_ended(job)]
        deleted = self._store.bulk.delete_ended(quick)
        result.count += deleted
        left = {job["_id"] for job in jobs} - set(quick)
        if deleted < len(quick):  # some owe effects, have started meanwhile, or were deleted by others
            left |= self._store.jobs.statuses(quick).keys()
        self._store.logs.delete([job_id for job_id in quick if job_id not in left])
        for job_id in sorted(left):
            self._alone(job_id, result)

    def _alone(self, job_id: Any, result: SelectionResult) -> None:
        try:
            result.count += delete_job(self._store, self._canceller, job_id)
        except (InvalidStateError, JobNotFoundError) as error:
            note_refusal(result, job_id, error)


def _has_ended(job: Document) -> bool:
    return status_of(job).is_final and not isinstance(job, UnreadableDocument)
