"""What an application does to jobs: insert, find, cancel, delete. One method is one operation on MongoDB."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import bson
from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import DuplicateJobError
from taskscheduler.model.document import Document, NewJob
from taskscheduler.model.lifecycle import LIVE, QUEUED, Status, Transition, target
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.payload import CODEC
from taskscheduler.model.uniqueness import fingerprint
from taskscheduler.store.attempt_updates import failed_by_child, requeue_update
from taskscheduler.store.driver_errors import is_transient
from taskscheduler.store.fence import from_statuses
from taskscheduler.store.solo_updates import release_on_end

_PATIENCE = 30.0  #: seconds for which an insert is tried again through elections
_BATCH = 1000  #: documents per insert command
_DUPLICATE_KEY = 11000

LIVE_FILTER = {"$in": sorted(int(status) for status in LIVE)}
QUEUED_FILTER = {"$in": sorted(int(status) for status in QUEUED)}
ENDED_FILTER = {"$gt": int(max(LIVE))}
#: naming `class` lets the planner take the index of live jobs, whatever their class
_LIVE: Document = {"class": {"$gte": ""}, "status": LIVE_FILTER}


class OnceTakenError(Exception):
    """Another live job holds the same key of add_job_once, or a queued one that of the option `dedupe`."""


class JobStore:
    """The durable jobs as an application sees them."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, clock: Clock) -> None:
        self.collection: Collection[Document] = database[options.job_store]
        self._confirming = self.collection.with_options(read_concern=ReadConcern("majority"))
        self._clock = clock
        self._lease = float(options.orphaned_timeout)

    def insert(self, job: NewJob) -> None:
        """Store one job durably; DuplicateJobError or OnceTakenError if its id or key is in use."""
        for uncertain in self._tries():
            try:
                self.collection.insert_one(job.raw)
                return
            except DuplicateKeyError as error:
                if "_id" not in (error.details or {}).get("keyPattern", {"_id": 1}):
                    raise OnceTakenError from error
                if not (uncertain and self._is_ours(job)):
                    raise DuplicateJobError(job.id) from error
                if self._are_durable([job]):
                    return
            except PyMongoError as error:
                uncertain.note(error)

    def insert_many(self, jobs: Sequence[NewJob]) -> None:
        """Store all jobs durably, or none that follows the first one refused: its DuplicateJobError names it."""
        for start in range(0, len(jobs), _BATCH):
            self._insert_batch(jobs[start : start + _BATCH])

    def _insert_batch(self, jobs: Sequence[NewJob]) -> None:
        for uncertain in self._tries():
            try:
                self.collection.insert_many([job.raw for job in jobs], ordered=False)
                return
            except BulkWriteError as error:
                if is_transient(error):
                    uncertain.note(error)
                    continue
                self._check_refused(jobs, error, bool(uncertain))
                if self._are_durable(jobs):
                    return
            except PyMongoError as error:
                uncertain.note(error)

    def _check_refused(self, jobs: Sequence[NewJob], error: BulkWriteError, tried_before: bool) -> None:
        """Nothing if all that was refused was stored by an earlier try; else what is wrong."""
        for entry in error.details.get("writeErrors", []):
            if entry.get("code") != _DUPLICATE_KEY:
                raise error
            job = jobs[entry["index"]]
            if not (tried_before and self._is_ours(job)):
                raise DuplicateJobError(job.id) from error

    def _tries(self) -> Iterator[_Uncertain]:
        """Tries of one insert: again after a transient error, since its fixed `_id` makes a repetition harmless."""
        deadline, state = Deadline(_PATIENCE, self._clock), _Uncertain()
        while True:
            yield state
            if deadline.passed and state.error is not None:
                raise state.error
            state.pause(deadline)

    def _is_ours(self, job: NewJob) -> bool:
        """Whether the job that has this id was stored by an earlier try."""
        found = self.collection.find_one({"_id": job.id}, {"created": 1, "class": 1})
        expected = (job.document["class"], job.document["created"].replace(microsecond=0))
        return found is not None and (found["class"], found["created"].replace(microsecond=0)) == expected

    def _are_durable(self, jobs: Sequence[NewJob]) -> bool:
        """Whether a majority knows what an earlier try has stored; until then it may still be rolled back."""
        ids = [job.id for job in jobs]
        return len(list(self._confirming.find({"_id": {"$in": ids}}, {"_id": 1}))) == len(ids)

    def taken_ids(self, ids: Sequence[ObjectId]) -> list[ObjectId]:
        """Which of these ids are in use."""
        return [entry["_id"] for entry in self.collection.find({"_id": {"$in": list(ids)}}, {"_id": 1})]

    def get(self, job_id: ObjectId) -> Document | None:
        """The job with this id."""
        return self.collection.find_one({"_id": job_id})

    def find(self, query: Mapping[str, Any]) -> Iterator[Document]:
        """All jobs that match a MongoDB query, read as they are asked for."""
        return iter(self.collection.find(query))

    def statuses(self, ids: Sequence[ObjectId]) -> dict[ObjectId, Status]:
        """The status of each of these jobs that is stored."""
        found = self.collection.find({"_id": {"$in": list(ids)}}, {"status": 1})
        return {entry["_id"]: Status(entry["status"]) for entry in found}

    def find_live(self) -> Iterator[Document]:
        """All jobs that have not ended."""
        return iter(self.collection.find(_LIVE))

    def find_changed(self, query: Mapping[str, Any], since: datetime) -> Iterator[Document]:
        """The jobs that match and have been added, become due, started, said something or ended since a date."""
        recent: list[Document] = [{field: {"$gte": since}} for field in ("created", "started", "alive")]
        recent.append({"at": {"$gte": since, "$lte": self._clock.now()}})
        changed = [{**_LIVE, "$or": recent}, {"ended": {"$gte": since}, "status": ENDED_FILTER}]
        return iter(self.collection.find({"$and": [query, {"$or": changed}]}))

    def same_live(self, name: str, data: Any, key: str, ignore_data: bool) -> Document | None:
        """The job that add_job_once takes for the same: the one that holds the key, else a live one of equal data.

        With `ignore_data` any live one of the class will do, if none is equal the oldest. While the key moves from an
        ended run to the next one of its series, the ended one has it in its plan.
        """
        keyed = self.collection.find_one({"$or": [{"once": key}, {"pending": "next", "next.once": key}]})
        if keyed is not None:
            return keyed
        wanted, oldest = fingerprint(data), None
        query: Document = {"class": name, "status": LIVE_FILTER, "service": {"$exists": False}}
        if not ignore_data:
            query["$expr"] = _may_equal(data)
        for job in self.collection.find(query).sort("_id", 1):
            if fingerprint(job.get("data")) == wanted:
                return job
            oldest = oldest or job
        return oldest if ignore_data else None

    def same_queued(self, key: str) -> Document | None:
        """The queued job that holds this key of the option `dedupe`, as a majority of the servers knows it."""
        return self._confirming.find_one({"dedupe": key, "status": {"$lt": int(Status.PROCESSING)}})

    def cancel(self, job_id: ObjectId, only_queued: bool = False) -> Document | None:
        """Cancel a live job, or one that does not run; the document as it was before, or None if it was not so."""
        sources = QUEUED_FILTER if only_queued else from_statuses(Transition.CANCEL)
        canceled = _ended_from_outside(Transition.CANCEL, self._lease)
        return self.collection.find_one_and_update({"_id": job_id, "status": sources}, canceled)

    def fail_parent(self, job_id: ObjectId, error: Mapping[str, Any]) -> Document | None:
        """Fail a live job because a child failed; the document before, or None if it was not live any more.

        A service is none that could fail so: only who stops it ends it.
        """
        parent = self.get(job_id)
        if parent is None or "service" in parent:
            return None
        query = {"_id": job_id, "status": from_statuses(Transition.FAIL_PARENT)}
        return self.collection.find_one_and_update(query, failed_by_child(parent, error, self._lease))

    def requeue(self, job: Mapping[str, Any]) -> Document | None:
        """Put an ended job, whose debts are paid, back to the queue: its new document.

        None if it is not ended any more or owes again; OnceTakenError if its key of add_job_once is held by another.
        """
        query = {
            "_id": job["_id"],
            "status": from_statuses(Transition.REQUEUE),
            "pending": {"$nin": ["next", "family"]},
        }
        try:
            return self.collection.find_one_and_update(query, requeue_update(job), return_document=ReturnDocument.AFTER)
        except DuplicateKeyError as error:
            raise OnceTakenError from error

    def bring_forward(self, seconds: float) -> None:
        """Let all queued jobs be due so many seconds earlier, but those that wait for their turn; for tests."""
        query = {"status": QUEUED_FILTER, "parked_at": {"$exists": False}}
        earlier = {"$subtract": ["$at", round(seconds * 1000)]}
        self.collection.update_many(query, [{"$set": {"at": earlier}}])

    def children(self, parent: ObjectId) -> list[ObjectId]:
        """The live children of a job."""
        query = {"parent": parent, "status": LIVE_FILTER}
        return [entry["_id"] for entry in self.collection.find(query, {"_id": 1})]

    def series(self, series: ObjectId) -> list[ObjectId]:
        """The live jobs of a series."""
        query = {"series": series, "status": LIVE_FILTER}
        return [entry["_id"] for entry in self.collection.find(query, {"_id": 1})]

    def end_series(self, series: ObjectId) -> list[ObjectId]:
        """Keep planned runs of a series from being added; the ended runs whose plans were cancelled just now."""
        query = {"series": series, "next": {"$exists": True}, "next.canceled": {"$exists": False}}
        ended = [entry["_id"] for entry in self.collection.find(query, {"_id": 1})]
        for job_id in ended:
            self.collection.update_one({"_id": job_id, **query}, {"$set": {"next.canceled": True}})
        return ended

    def running(self, query: Mapping[str, Any]) -> list[ObjectId]:
        """The matching jobs that nodes have claimed."""
        claimed = {**query, "status": int(Status.PROCESSING)}
        return [entry["_id"] for entry in self.collection.find(claimed, {"_id": 1})]

    def delete(self, query: Mapping[str, Any]) -> int:
        """Delete matching jobs whatever they do; running ones are stopped by their nodes. How many."""
        return self.collection.delete_many(query).deleted_count

    def delete_one(self, job_id: ObjectId) -> Document | None:
        """Delete one job whatever it does; the document as it was, or None if there was none."""
        return self.collection.find_one_and_delete({"_id": job_id})

    def counts_by(self, field: str) -> dict[str, dict[Status, int]]:
        """How many jobs there are in each status, for each value of a field that holds names."""
        group = {"name": f"${field}", "status": "$status"}
        found: dict[str, dict[Status, int]] = {}
        for entry in self.collection.aggregate([{"$group": {"_id": group, "count": {"$sum": 1}}}]):
            counts = found.setdefault(str(entry["_id"].get("name", "")), dict.fromkeys(Status, 0))
            counts[Status(entry["_id"]["status"])] = entry["count"]
        return dict(sorted(found.items()))

    def counts(self) -> dict[Status, int]:
        """How many jobs there are in each status."""
        groups = self.collection.aggregate([{"$group": {"_id": "$status", "count": {"$sum": 1}}}])
        found = {entry["_id"]: entry["count"] for entry in groups}
        return {status: found.get(int(status), 0) for status in Status}


def _ended_from_outside(move: Transition, lease: float) -> list[Document]:
    values = {"status": int(target(move)), "pending": ["family", "hook"]}
    stage = {**{name: {"$literal": value} for name, value in values.items()}, "ended": "$$NOW"}
    return [release_on_end(lease), {"$set": stage}, {"$unset": ["once", "parked_at"]}]


def _may_equal(data: Any) -> Document:
    """An expression on `data` that lets all equal values pass, mappings also with their keys in another order."""
    if isinstance(data, Mapping):
        size = {"$cond": [{"$eq": [{"$type": "$data"}, "object"]}, {"$bsonSize": "$data"}, -1]}
        return {"$eq": [size, len(bson.encode(data, codec_options=CODEC))]}
    return {"$eq": ["$data", {"$literal": data}]}


class _Uncertain:
    """Whether an earlier try of the same insert may have been carried out."""

    def __init__(self) -> None:
        self.error: PyMongoError | None = None
        self._pause = 0.05

    def __bool__(self) -> bool:
        return self.error is not None

    def note(self, error: PyMongoError) -> None:
        if not is_transient(error):
            raise error
        self.error = error

    def pause(self, deadline: Deadline) -> None:
        threading.Event().wait(deadline.left(self._pause))
        self._pause = min(1.0, self._pause * 2)
