"""Applies a verb to all jobs of a selection, a batch at a time, each job once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bson import ObjectId

from taskscheduler.errors import InvalidOptionError, InvalidStateError, JobNotFoundError
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.selections.result import SelectionResult
from taskscheduler.store import Store
from taskscheduler.store.selections.search import narrowed

BATCH = 1000  #: jobs

CHANGED = "they changed meanwhile"


@dataclass(frozen=True, slots=True)
class Selected:
    """The jobs that match a query."""

    query: Document
    slow: bool  #: whether all jobs may be read to find them
    text: str  #: the query as it was written, for messages

    def searches(self, store: Store, statuses: frozenset[Status] | None = None) -> list[Document]:
        """Returns queries that together find the jobs, only those in these statuses if any are given.

        InvalidOptionError if no index serves them, and nobody has allowed a slow search.
        """
        query = self.query if statuses is None else narrowed(self.query, statuses)
        found = store.search.served(query)
        if found is None and self.slow:
            return store.search.in_parts(query)
        if found is None:
            raise InvalidOptionError(
                f"no index serves {self.text:.200}, so all jobs would be read; add a status but done, such as "
                "status:failed, a tag, a parent or when they ended, or allow it: slow=True, on the command line --slow"
            )
        return found


class Verb(Protocol):
    """What is done to many jobs."""

    @property
    def statuses(self) -> frozenset[Status]:
        """The statuses in which it can be done."""
        ...

    def apply(self, jobs: Sequence[Document], places: Sequence[float], result: SelectionResult) -> None:
        """Applies it to a batch and counts in the result what was changed and what was skipped.

        `places`: where each job stands among all that are selected, from 0 to 1.
        """
        ...


def apply_to_selected(
    store: Store, selected: Selected, verb: Verb, limit: int | None, result: SelectionResult
) -> Iterator[SelectionResult]:
    """Applies it to the jobs that match, the oldest first; yields the result after each batch, and at least once."""
    ids = oldest_first(store.search.ids(selected.searches(store, verb.statuses)))[:limit]
    result.total = len(ids)
    if result.dry_run:
        result.count = len(ids)
    yield result
    query = narrowed(selected.query, verb.statuses)
    for start in range(0, 0 if result.dry_run else len(ids), BATCH):
        batch = ids[start : start + BATCH]
        places = {job_id: (start + number) / len(ids) for number, job_id in enumerate(batch)}
        jobs = sorted(store.search.of(batch, query), key=lambda job: job["_id"])
        verb.apply(jobs, [places[job["_id"]] for job in jobs], result)
        if len(jobs) < len(batch):
            result.reasons[CHANGED] += len(batch) - len(jobs)
        yield result


def oldest_first(found: Iterator[Any]) -> list[Any]:
    """Returns ids once each, in order; those of strangers, which are no ObjectIds, are left out."""
    return sorted({job_id for job_id in found if isinstance(job_id, ObjectId)})


def note_refusal(result: SelectionResult, job_id: Any, error: InvalidStateError | JobNotFoundError) -> None:
    """Notes that one job was skipped."""
    result.reasons[CHANGED if isinstance(error, JobNotFoundError) else str(error).replace(f" {job_id}", "")] += 1
