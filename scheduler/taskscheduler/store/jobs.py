"""Finds, cancels, requeues, refuses and deletes jobs. One method is one operation on MongoDB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from taskscheduler.clock import Clock
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import LIVE, QUEUED, Status, Transition, target
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempt_updates import cancel_update, requeue_update
from taskscheduler.store.fence import from_statuses
from taskscheduler.store.lenient_reads import decoded, each, read, undecoded

LIVE_FILTER = {"$in": sorted(int(status) for status in LIVE)}
QUEUED_FILTER = {"$in": sorted(int(status) for status in QUEUED)}
ENDED_FILTER = {"$gt": int(max(LIVE))}
#: naming `class` lets the planner take the index of live jobs, whatever their class
_LIVE: Document = {"class": {"$gte": ""}, "status": LIVE_FILTER}


class OnceTakenError(Exception):
    """Another live job holds the same key of add_job_once, or a queued one that of the option `dedupe`."""


class JobStore:
    """The stored jobs as an application sees them."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, clock: Clock) -> None:
        self.collection: Collection[Document] = database[options.job_store]
        self._clock = clock
        self._lease = float(options.orphaned_timeout)

    def get(self, job_id: ObjectId) -> Document | None:
        """Returns the job with this id."""
        return decoded(undecoded(self.collection).find_one({"_id": {"$eq": job_id}}))

    def find(self, query: Mapping[str, Any]) -> Iterator[Document]:
        """Finds all jobs that match a MongoDB query; they are read one batch at a time."""
        return each(undecoded(self.collection).find(query))

    def find_live(self) -> Iterator[Document]:
        """Finds all jobs that have not ended."""
        return each(undecoded(self.collection).find(_LIVE))

    def find_changed(self, query: Mapping[str, Any], since: datetime) -> Iterator[Document]:
        """Finds the jobs that match and were added, fell due, started, reported or ended at or after `since`."""
        recent: list[Document] = [{field: {"$gte": since}} for field in ("created", "started", "alive")]
        recent.append({"at": {"$gte": since, "$lte": self._clock.now()}})
        changed = [{**_LIVE, "$or": recent}, {"ended": {"$gte": since}, "status": ENDED_FILTER}]
        return each(undecoded(self.collection).find({"$and": [query, {"$or": changed}]}))

    def statuses(self, ids: Sequence[ObjectId]) -> dict[ObjectId, Status]:
        """Returns the status of each of these jobs that is stored."""
        query, fields = {"_id": {"$in": list(ids)}}, {"status": 1}
        found = read(self.collection, lambda jobs: jobs.find(query, fields))
        return {entry["_id"]: Status(entry.get("status", -1)) for entry in found}

    def running(self, query: Mapping[str, Any]) -> list[ObjectId]:
        """Returns the matching jobs that nodes have claimed."""
        claimed = {**query, "status": int(Status.PROCESSING)}
        return [entry["_id"] for entry in self.collection.find(claimed, {"_id": 1})]

    def counts_by(self, field: str) -> dict[str, dict[Status, int]]:
        """Counts the jobs in each status, for each value of a field that holds names."""
        group = {"name": f"${field}", "status": "$status"}
        found: dict[str, dict[Status, int]] = {}
        stages: list[Document] = [{"$group": {"_id": group, "count": {"$sum": 1}}}]
        for entry in read(self.collection, lambda jobs: jobs.aggregate(stages)):
            counts = found.setdefault(str(entry["_id"].get("name", "")), dict.fromkeys(Status, 0))
            status = Status(entry["_id"].get("status", -1))
            counts[status] = counts.get(status, 0) + entry["count"]
        return dict(sorted(found.items()))

    def cancel(self, job_id: ObjectId, only_queued: bool = False) -> Document | None:
        """Cancels a live job, or only a queued one; returns the document before, or None if nothing was cancelled."""
        sources = QUEUED_FILTER if only_queued else from_statuses(Transition.CANCEL)
        query = {"_id": job_id, "status": sources}
        return decoded(undecoded(self.collection).find_one_and_update(query, cancel_update(self._lease)))

    def requeue(self, job: Mapping[str, Any]) -> Document | None:
        """Puts an ended job back in the queue once its effects are delivered; returns its new document.

        None if it is not ended any more or has undelivered effects again; OnceTakenError if another job holds its key
        of add_job_once.
        """
        query = {
            "_id": job["_id"],
            "status": from_statuses(Transition.REQUEUE),
            "pending": {"$nin": ["next", "family"]},
        }
        try:
            after = ReturnDocument.AFTER
            return decoded(
                undecoded(self.collection).find_one_and_update(query, requeue_update(job), return_document=after)
            )
        except DuplicateKeyError as error:
            raise OnceTakenError from error

    def bring_forward(self, seconds: float) -> None:
        """Makes all queued jobs due so many seconds earlier, except those that wait for a solo lock; for tests."""
        query = {"status": QUEUED_FILTER, "parked_at": {"$exists": False}}
        earlier = {"$subtract": ["$at", round(seconds * 1000)]}
        self.collection.update_many(query, [{"$set": {"at": earlier}}])

    def delete(self, query: Mapping[str, Any]) -> int:
        """Deletes matching jobs in any status and returns how many; nodes stop the running ones."""
        return self.collection.delete_many(query).deleted_count

    def delete_one(self, job_id: ObjectId) -> Document | None:
        """Deletes one job in any status; returns the document as it was, or None if there was none."""
        return decoded(undecoded(self.collection).find_one_and_delete({"_id": job_id}))

    def delete_old(self, query: Mapping[str, Any], age: timedelta) -> int:
        """Deletes matching jobs that ended longer ago than `age` with all effects delivered; returns how many."""
        until = {"$subtract": ["$$NOW", age // timedelta(milliseconds=1)]}
        old = {"status": ENDED_FILTER, "pending": {"$exists": False}, "$expr": {"$lte": ["$ended", until]}}
        return self.collection.delete_many({**query, **old}).deleted_count


class InvalidJobs:
    """The jobs that a node cannot run, rescue or follow up, since their documents are not what they should be."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._collection: Collection[Document] = database[options.job_store]

    def fail(self, job_id: Any, error: Mapping[str, Any], held: Mapping[str, Any]) -> bool:
        """Fails a live job that still matches `held`; returns whether it did. Its family is ended by the outbox."""
        query = {"status": from_statuses(Transition.REFUSE), **held, "_id": {"$eq": job_id}}
        values = {"status": int(target(Transition.REFUSE)), "error": dict(error), "pending": ["family"]}
        ended: Document = {name: {"$literal": value} for name, value in values.items()}
        removed = ["once", "dedupe", "gate", "gate_until", "parked_at"]
        update: list[Document] = [{"$set": {**ended, "ended": "$$NOW"}}, {"$unset": removed}]
        return self._collection.update_one(query, update).modified_count == 1

    def drop_effects(self, job_id: Any, error: Mapping[str, Any]) -> None:
        """Drops the effects of an ended job that cannot be delivered; a job without an error gets this one."""
        query = {"_id": {"$eq": job_id}, "status": ENDED_FILTER, "pending": {"$exists": True}}
        noted = {"$ifNull": ["$error", {"$literal": dict(error)}]}
        self._collection.update_one(query, [{"$set": {"error": noted}}, {"$unset": ["pending", "next"]}])
