"""Finds, cancels, requeues, refuses and deletes jobs. One method is one operation on MongoDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from bson import MinKey, ObjectId
from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from taskscheduler.clock import Clock
from taskscheduler.model.changes import ONCE_MORE, Requeue
from taskscheduler.model.control.keys import FAR, FLOW, PARKED_FIELDS
from taskscheduler.model.document import Document
from taskscheduler.model.failures import fingerprint_of
from taskscheduler.model.lenient import as_stored
from taskscheduler.model.lifecycle import FINAL, LIVE, QUEUED, Status, Transition, target
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.sound import status_of
from taskscheduler.store.attempts.bad_ends import cancel_update
from taskscheduler.store.attempts.completion import AWAITS, WINDOW
from taskscheduler.store.attempts.ending import LATEST_END
from taskscheduler.store.attempts.of_flows import bad_effects, still_open
from taskscheduler.store.fence import from_statuses
from taskscheduler.store.indexes.definitions import needed_after
from taskscheduler.store.lenient_reads import (
    ONLY_ID,
    change_one,
    decoded,
    each,
    read,
    read_ids,
    read_one,
    readable_errors,
    undecoded,
)
from taskscheduler.store.on_demand.making import OnDemandIndexes
from taskscheduler.store.requeue_update import divided, requeue_update

LIVE_FILTER = {"$in": sorted(int(status) for status in LIVE)}
QUEUED_FILTER = {"$in": sorted(int(status) for status in QUEUED)}
_NOT_ENDED = {"$nin": sorted(int(status) for status in FINAL)}
_WRITTEN_LATER = timedelta(seconds=2 * LATEST_END)  #: an end, than it happened
ENDED_FILTER = {"$gt": int(max(LIVE))}
#: naming `class` lets the planner take the index of live jobs, whatever their class
LIVE_JOBS: Document = {"class": {"$gte": MinKey()}, "status": LIVE_FILTER}


def _one(job_id: Any, also: Mapping[str, Any] = MappingProxyType({})) -> Mapping[str, Any]:
    """Returns the query for one job, whatever its id: somebody else may have stored a job under any value."""
    query = {"_id": {"$eq": job_id}, **also}
    return query if isinstance(job_id, ObjectId) else as_stored(query)


def requeue_filter(job_id: Any) -> Document:
    """Matches an ended job whose effects are delivered."""
    return {"_id": job_id, "status": from_statuses(Transition.REQUEUE), "pending": {"$nin": ["next", "family", "flow"]}}


class OnceTakenError(Exception):
    """Another live job holds the same key of add_job_once, or a queued one that of the option `dedupe`."""


class JobStore:
    """The stored jobs as an application sees them."""

    def __init__(
        self, database: Database[Document], options: SchedulerOptions, clock: Clock, on_demand: OnDemandIndexes
    ) -> None:
        self.collection: Collection[Document] = database[options.job_store]
        self._on_demand = on_demand
        self._clock = clock
        self._lease = float(options.orphaned_timeout)

    def get(self, job_id: Any) -> Document | None:
        """Returns the job with this id."""
        query = _one(job_id)
        return read_one(self.collection, lambda jobs: jobs.find_one(query))

    def all_of(self, ids: Iterable[ObjectId]) -> dict[ObjectId, Document]:
        """Returns those of these jobs that are stored, by their ids."""
        query = {"_id": {"$in": list(ids)}}
        return {job["_id"]: job for job in read(self.collection, lambda jobs: jobs.find(query))}

    def find(self, query: Mapping[str, Any]) -> Iterator[Document]:
        """Finds all jobs that match a MongoDB query; they are read one batch at a time."""
        if self._on_demand.exclude(query):
            return iter(())
        return each(undecoded(self.collection).find(query))

    def find_live(self) -> Iterator[Document]:
        """Finds all jobs that have not ended."""
        return each(undecoded(self.collection).find(LIVE_JOBS))

    def find_changed(self, query: Mapping[str, Any], since: datetime) -> Iterator[Document]:
        """Finds the jobs that match and were added, fell due, started, reported or ended at or after `since`."""
        recent: list[Document] = [{field: {"$gte": since}} for field in ("created", "started", "alive")]
        recent.append({"at": {"$gte": since, "$lte": self._clock.now()}})
        ended = {"$gte": since - _WRITTEN_LATER}
        changed = [{**LIVE_JOBS, "$or": recent}, *({"status": int(status), "ended": ended} for status in sorted(FINAL))]
        return each(undecoded(self.collection).find({"$and": [query, {"$or": changed}]}))

    def statuses(self, ids: Sequence[ObjectId]) -> dict[ObjectId, Status]:
        """Returns the status of each of these jobs that is stored."""
        query, fields = {"_id": {"$in": list(ids)}}, {"status": 1}
        found = read(self.collection, lambda jobs: jobs.find(query, fields))
        return {entry["_id"]: status_of(entry) for entry in found}

    def places_of(self, ids: Sequence[ObjectId], status: Status) -> set[tuple[str, str]]:
        """Returns the queue and the class of those of these jobs that are in this status, each pair once."""
        query, fields = {"_id": {"$in": list(ids)}, "status": int(status)}, {"queue": 1, "class": 1}
        found = read(self.collection, lambda jobs: jobs.find(query, fields))
        return {(str(job.get("queue", "")), str(job.get("class", ""))) for job in found}

    def running(self, query: Mapping[str, Any]) -> list[ObjectId]:
        """Returns the matching jobs that nodes have claimed."""
        if self._on_demand.exclude(query):
            return []
        claimed = {**query, "status": int(Status.PROCESSING)}
        return read_ids(self.collection, lambda jobs: jobs.find(claimed, ONLY_ID))

    def cancel(self, job_id: Any, only_queued: bool = False, reason: str | None = None) -> Document | None:
        """Cancels a live job, or only a queued one; returns the document before, or None if nothing was cancelled.

        A job whose stored status is none counts as live: nobody else can end it.
        """
        sources = QUEUED_FILTER if only_queued else _NOT_ENDED
        query = _one(job_id, {"status": sources})
        return change_one(self.collection, query, cancel_update(self._lease, reason))

    def requeue(self, job: Mapping[str, Any], again: Requeue = ONCE_MORE) -> Document | None:
        """Puts an ended job back in the queue once its effects are delivered; returns its new document.

        None if it is not ended any more or has undelivered effects again; OnceTakenError if another job holds its key
        of add_job_once.
        """
        self._on_demand.make(needed_after(again.fields))
        update, after = requeue_update(job, again), ReturnDocument.AFTER
        query = requeue_filter(job["_id"])
        if again.from_step is not None:
            query["attempt"] = job.get("attempt")  # else it has other steps by now
        try:
            return change_one(self.collection, query, update, return_document=after)
        except DuplicateKeyError as error:
            raise OnceTakenError from error

    def bring_forward(self, seconds: float) -> None:
        """Makes all queued jobs due so many seconds earlier, except those that are due and parked; for tests.

        The time by which they have to start moves as well.
        """
        for field in ("at", "awaits.until", *WINDOW):
            query: Document = {"status": QUEUED_FILTER, field: {"$type": "date"}}
            if field == "at":
                query |= {"parked_at": {"$exists": False}, "at": {"$type": "date", "$ne": FAR}}
            earlier = {"$subtract": [f"${field}", round(seconds * 1000)]}
            self.collection.update_many(query, [{"$set": {field: earlier}}])
        waiting = {"blocked": {"$gte": f"{FLOW}:", "$lt": f"{FLOW};"}, "parked_at": {"$type": "date"}}
        earlier = {"$subtract": ["$parked_at", round(seconds * 1000)]}
        self.collection.update_many(waiting, [{"$set": {"parked_at": earlier}}])
        self._bring_debounced_forward(seconds)
        self._bring_sleeps_forward(seconds)

    def _bring_sleeps_forward(self, seconds: float) -> None:
        """When a sleep is over, and a wait for a signal, stands among the steps of a job as well."""
        query: Document = {"status": QUEUED_FILTER, "steps.until": {"$exists": True}}
        until = {"$subtract": ["$$this.until", round(seconds * 1000)]}
        is_date: Document = {"$eq": [{"$type": "$$this.until"}, "date"]}
        step = {"$cond": [is_date, {"$mergeObjects": ["$$this", {"until": until}]}, "$$this"]}
        self.collection.update_many(query, [{"$set": {"steps": {"$map": {"input": "$steps", "in": step}}}}])

    def _bring_debounced_forward(self, seconds: float) -> None:
        """How long a job may be put off counts from when it was added."""
        query: Document = {"status": QUEUED_FILTER, "options.debounce_max": {"$exists": True}}
        earlier = {"$subtract": ["$created", round(seconds * 1000)]}
        self.collection.update_many(query, [{"$set": {"created": earlier}}])

    def delete(self, query: Mapping[str, Any]) -> int:
        """Deletes matching jobs in any status and returns how many; nodes stop the running ones."""
        return 0 if self._on_demand.exclude(query) else self.collection.delete_many(query).deleted_count

    def delete_one(self, job_id: Any) -> Document | None:
        """Deletes one job in any status; returns the document as it was, or None if there was none."""
        with readable_errors():
            return decoded(undecoded(self.collection).find_one_and_delete(_one(job_id)))

    def delete_old(self, query: Mapping[str, Any], age: timedelta) -> int:
        """Deletes matching jobs that ended longer ago than `age` with all effects delivered; returns how many."""
        until = {"$subtract": ["$$NOW", age // timedelta(milliseconds=1)]}
        old = {"pending": {"$exists": False}, "ended": {"$type": "date"}, "$expr": {"$lte": ["$ended", until]}}
        each_status = [{**query, **old, "status": int(status)} for status in sorted(FINAL)]  # has an index of its own
        return sum(self.collection.delete_many(one).deleted_count for one in each_status)


class QueuedJobs:
    """Changes queued jobs in place."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, on_demand: OnDemandIndexes) -> None:
        self._collection: Collection[Document] = database[options.job_store]
        self._on_demand = on_demand

    def change(self, job: Mapping[str, Any], fields: Mapping[str, Any]) -> Document | None:
        """Sets fields of a queued job, and removes those that are None; returns its new document.

        None if it has been claimed, ended or moved since `job` was read; OnceTakenError if another job holds its new
        key.
        """
        self._on_demand.make(needed_after(fields))
        query = {"_id": job["_id"], "status": job["status"], "at": job.get("at")}
        query |= {name: job.get(name, {"$exists": False}) for name in ("gate", "parked_at", "blocked")}
        changed, removed = divided(fields)
        quoted = {name: {"$literal": value} for name, value in changed.items()}
        update = [{"$set": quoted}, *([{"$unset": removed}] if removed else [])]
        try:
            return change_one(self._collection, as_stored(query), update, return_document=ReturnDocument.AFTER)
        except DuplicateKeyError as error:
            raise OnceTakenError from error


class InvalidJobs:
    """The jobs that a node cannot run, rescue or follow up, since their documents are not what they should be."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._collection: Collection[Document] = database[options.job_store]

    def fail(self, job_id: Any, error: Mapping[str, Any], held: Mapping[str, Any]) -> bool:
        """Fails a live job that still matches `held`; returns whether it did. Its family is ended by the outbox."""
        query = as_stored({"status": from_statuses(Transition.REFUSE), **held, "_id": {"$eq": job_id}})
        values: Document = {"status": int(target(Transition.REFUSE)), "error": dict(error)}
        values["fingerprint"] = fingerprint_of(error)  # of any class, which may be what is wrong
        ended: Document = {name: {"$literal": value} for name, value in values.items()}
        removed = ["once", "dedupe", "gate", "gate_until", "turn", AWAITS, *PARKED_FIELDS]
        ended |= {"pending": bad_effects("family"), "open": still_open(), "ended": "$$NOW"}
        update: list[Document] = [{"$set": ended}, {"$unset": removed}]
        return self._collection.update_one(query, update).modified_count == 1

    def drop_effects(self, job_id: Any, error: Mapping[str, Any]) -> None:
        """Drops the effects of an ended job that cannot be delivered; a job without an error gets this one."""
        query = as_stored({"_id": {"$eq": job_id}, "status": ENDED_FILTER, "pending": {"$exists": True}})
        noted = {"$ifNull": ["$error", {"$literal": dict(error)}]}
        self._collection.update_one(query, [{"$set": {"error": noted}}, {"$unset": ["pending", "next"]}])
