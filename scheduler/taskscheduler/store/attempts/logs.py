"""LogStore: the logs of attempts, in chunks. See `model.logs.lines`.

The jobs of a batch share one log under the id of the batch: each has a document in place of chunks that says which.
Logs go with their jobs. Whatever deletes a job by itself leaves them to the sweep, as does a chunk that comes too late.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from taskscheduler.model.document import Document
from taskscheduler.model.logs.tail import Log
from taskscheduler.model.options import LOGS, SchedulerOptions
from taskscheduler.store.lenient_reads import ONLY_ID, each, read, read_ids, read_one, undecoded
from taskscheduler.store.schema import ensure_logs

_DUPLICATE_KEY = 11000

_REFERENCE = -1  #: the number of the document that says whose log an attempt shares

_AT_ONCE = 1000  #: jobs that a sweep looks at


class LogStore:
    """Writes, reads and deletes logs. A chunk is written once, however often that is repeated."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._logs: Collection[Document] = database[LOGS]
        self._jobs: Collection[Document] = database[options.job_store]
        self._ensured = False

    def write(self, chunks: Sequence[Document]) -> None:
        """Stores chunks, or references as `reference` makes them."""
        if not self._ensured:
            ensure_logs(self._logs.database)
            self._ensured = True
        try:
            self._logs.insert_many(chunks, ordered=False)
        except BulkWriteError as error:
            codes = {entry.get("code") for entry in error.details.get("writeErrors", [])}
            if codes - {_DUPLICATE_KEY} or error.details.get("writeConcernErrors"):
                raise

    def trim(self, log: Log, before: int) -> None:
        """Deletes the chunks before this number."""
        self._logs.delete_many({"job": log.job, "attempt": log.attempt, "n": {"$gte": 0, "$lt": before}})

    # -- reading -------------------------------------------------------------------------------------------------------

    def attempts(self, job_id: Any) -> list[int]:
        """Returns the numbers of the attempts that have a log, in their order."""
        ours = {"job": {"$eq": job_id}}
        stages: list[Document] = [{"$match": ours}, {"$group": {"_id": "$attempt"}}, {"$sort": {"_id": ASCENDING}}]
        found = read_ids(self._logs, lambda logs: logs.aggregate(stages))
        return [number for number in found if isinstance(number, int)]

    def owner(self, log: Log) -> Log:
        """Returns under what the log of an attempt is stored: of one that ran in a batch, under that."""
        query = {"job": {"$eq": log.job}, "attempt": log.attempt, "n": _REFERENCE}
        found = read_one(self._logs, lambda logs: logs.find_one(query))
        return log if found is None or not isinstance(found.get("shared"), ObjectId) else Log(found["shared"], 1)

    def chunks(self, owner: Log, start: int = 0, until: int | None = None) -> Iterator[Document]:
        """Yields chunks from this number on; with `until`, those up to that number, the newest first."""
        bounds = {"$gte": start} if until is None else {"$gte": start, "$lte": until}
        query = {"job": {"$eq": owner.job}, "attempt": owner.attempt, "n": bounds}
        order = ASCENDING if until is None else DESCENDING
        yield from each(undecoded(self._logs).find(query, sort=[("n", order)], batch_size=8))

    # -- deleting ------------------------------------------------------------------------------------------------------

    def delete(self, jobs: Sequence[Any]) -> None:
        """Deletes the logs of these jobs; those of batches are left to the sweep."""
        query: Document = {"job": {"$in": list(jobs)}}
        # most jobs have none, and a user may have no right to delete here
        if read_one(self._logs, lambda logs: logs.find_one(query, ONLY_ID)) is not None:
            self._logs.delete_many(query)

    def sweep(self, after: ObjectId | None) -> tuple[int, ObjectId | None]:
        """Looks at the logs of some jobs, after this one by their ids, and deletes those of jobs that are gone.

        Returns of how many jobs logs were deleted, and after which job the next sweep goes on; None: from the start.
        """
        bounds: Document = {} if after is None else {"job": {"$gt": after}}
        stages: list[Document] = [
            {"$match": bounds},
            {"$sort": {"job": ASCENDING}},
            {"$group": {"_id": "$job"}},
            {"$sort": {"_id": ASCENDING}},
            {"$limit": _AT_ONCE},
        ]
        seen = read_ids(self._logs, lambda logs: logs.aggregate(stages))
        orphaned = list(self._orphaned(seen))
        if orphaned:
            self.delete(orphaned)
        return len(orphaned), seen[-1] if len(seen) == _AT_ONCE else None

    def _orphaned(self, seen: Sequence[Any]) -> Iterable[Any]:
        """Returns those of these ids that are neither of a job nor of a batch of which a job is left."""
        stored = self._stored(seen)
        gone = [job for job in seen if job not in stored]
        query: Document = {"shared": {"$in": gone}}
        found = read(self._logs, lambda logs: logs.find(query, {"shared": 1, "job": 1, "_id": 0})) if gone else []
        left = self._stored([entry["job"] for entry in found]) if found else set[Any]()
        return set(gone) - {entry["shared"] for entry in found if entry["job"] in left}

    def _stored(self, ids: Sequence[Any]) -> set[Any]:
        query: Document = {"_id": {"$in": list(ids)}}
        return set(read_ids(self._jobs, lambda jobs: jobs.find(query, ONLY_ID)))


def reference(log: Log, batch: Log) -> Document:
    """Returns the document that says that an attempt shares the log of a batch."""
    return {"_id": ObjectId(), "job": log.job, "attempt": log.attempt, "n": _REFERENCE, "shared": batch.job}
