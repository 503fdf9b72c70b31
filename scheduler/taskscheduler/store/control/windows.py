"""The windows of the option `unique_for`, and the queued jobs that the option `debounce` puts off.

A window is a record of its key: which job was accepted, and until when no other one is. Opening it fixes the id of that
job before the job is stored. Until the record is settled, everybody who adds the same job stores it under this id: a
unique index decides who was first, and an adder that died in between leaves nothing that others would wait for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status, Transition, target
from taskscheduler.model.options import WINDOWS, SchedulerOptions
from taskscheduler.store.lenient_reads import change_one, date_or
from taskscheduler.store.on_demand.making import OnDemandIndexes
from taskscheduler.store.schema import ensure_indexes

_INDEXES = [IndexModel([("until", ASCENDING)], name="retention", expireAfterSeconds=0)]

_ABANDONED = 86_400  #: seconds for which the record of an adder that died is kept beyond its window


class Window(NamedTuple):
    """The window of a key."""

    job: ObjectId  #: the job that is accepted in it
    is_settled: bool  #: whether that job was stored


def window_of(document: Mapping[str, Any]) -> Window:
    """Returns the window that a record says."""
    return Window(document["job"], "opened" not in document)


def accept_update(key: str, job_id: ObjectId, seconds: float) -> list[Document]:
    """Opens a window that is settled at once, for who stores its job in the same transaction; unless there is one."""
    return _unless_open(key, {"job": job_id, "until": _from_now(seconds)})


def _unless_open(key: str, fresh: Document) -> list[Document]:
    is_over: Document = {"$lte": [date_or("$until", "$$NOW"), "$$NOW"]}
    is_free = {"$or": [is_over, {"$ne": [{"$type": "$job"}, "objectId"]}]}
    return [{"$replaceWith": {"$cond": [is_free, {"_id": {"$literal": key}, **fresh}, "$$ROOT"]}}]


def settle_update(since: Any, seconds: float) -> list[Document]:
    """Notes that the job of a window is stored: the window ends so many seconds after this date."""
    return [{"$set": {"until": {"$add": [since, _milliseconds(seconds)]}}}, {"$unset": "opened"}]


def _from_now(seconds: float) -> Document:
    return {"$add": ["$$NOW", _milliseconds(seconds)]}


class WindowStore:
    """The windows of the option `unique_for`, by the keys of jobs. All times are those of the server."""

    def __init__(self, database: Database[Document]) -> None:
        self._collection: Collection[Document] = database[WINDOWS]
        self._ensured = False

    def open(self, key: str, job_id: ObjectId, seconds: float) -> Window:
        """Opens a window for this job unless there is one; returns the one that there is then."""
        self.ensure()
        opened = {"job": job_id, "opened": "$$NOW", "until": _from_now(seconds + _ABANDONED)}
        update = _unless_open(key, opened)
        while True:
            try:
                found = change_one(
                    self._collection, {"_id": key}, update, upsert=True, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:
                continue  # somebody else has inserted it just now
            if found is not None:
                return window_of(found)

    def settle(self, key: str, job_id: ObjectId, seconds: float) -> None:
        """Notes that the job was stored just now: its window ends after so many seconds."""
        self._settle({"_id": key, "job": job_id}, "$$NOW", seconds)

    def settle_for_others(self, key: str, job_id: ObjectId, created: datetime | None, seconds: float) -> None:
        """Does the same for a job that somebody else has stored, unless he has.

        He may have died long ago, so the window counts from when the job was made; a wrong clock cannot move that out
        of the time since the window was opened.
        """
        since = {"$max": [date_or("$opened", "$$NOW"), created or "$$NOW"]}
        self._settle({"_id": key, "job": job_id, "opened": {"$exists": True}}, {"$min": ["$$NOW", since]}, seconds)

    def _settle(self, query: Mapping[str, Any], since: Any, seconds: float) -> None:
        self._collection.update_one(query, settle_update(since, seconds))

    def bring_forward(self, seconds: float) -> None:
        """Makes all windows end so many seconds earlier; for tests."""
        earlier = {"$subtract": [date_or("$until", "$$NOW"), _milliseconds(seconds)]}
        self._collection.update_many({}, [{"$set": {"until": earlier}}])

    def ensure(self) -> None:
        """Creates the collection and its index, once."""
        if not self._ensured:
            ensure_indexes(self._collection.database, WINDOWS, _INDEXES)
            self._ensured = True


class DebouncedJobs:
    """Queued jobs that hold a key of the options `dedupe` and `debounce`."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, on_demand: OnDemandIndexes) -> None:
        self._collection: Collection[Document] = database[options.job_store]
        self._on_demand = on_demand

    def put_off(self, key: str, status: Status, data: Any, seconds: float, most: float) -> Document | None:
        """Gives the queued job of this key other data, and puts it off; returns its new document.

        It starts so many seconds from now, but not later than `most` seconds after it was added (0: no limit), and
        never sooner than before. A job that waits for its turn keeps its place. None if no job of this key has this
        status.
        """
        self._on_demand.make(["dedupe"])  # else the server would look at all jobs
        update = put_off_update(data, seconds, most)
        query = {"dedupe": key, "status": int(status)}
        return change_one(self._collection, query, update, return_document=ReturnDocument.AFTER)


def put_off_update(data: Any, seconds: float, most: float) -> list[Document]:
    """Gives a queued job other data, and puts it off; see `DebouncedJobs.put_off`."""
    later = _from_now(seconds)
    if most:
        later = {"$min": [later, {"$add": [date_or("$created", "$$NOW"), _milliseconds(most)]}]}
    has_turn = {"$or": [_is_there("$gate"), _is_there("$parked_at")]}
    at = {"$cond": [has_turn, "$at", {"$max": ["$at", later]}]}
    postponed = {"$cond": [{"$gt": ["$at", "$$NOW"]}, int(target(Transition.POSTPONE)), "$status"]}
    return [{"$set": {"data": {"$literal": data}, "at": at}}, {"$set": {"status": postponed}}]


def _is_there(field: str) -> Document:
    return {"$ne": [{"$type": field}, "missing"]}


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
