"""Finds and starts services: one job document each, under its unique name. Stores the messages to and from them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.database import Database

from taskscheduler.clock import Clock
from taskscheduler.model.document import Document
from taskscheduler.model.lenient import UnreadableDocument, as_stored
from taskscheduler.model.lifecycle import Status, Transition
from taskscheduler.model.options import MESSAGES, SchedulerOptions
from taskscheduler.model.readable import has_fence
from taskscheduler.store.fence import FENCE_FIELDS, Fence, from_statuses
from taskscheduler.store.indexes.definitions import needed_after
from taskscheduler.store.lenient_reads import change_one, decoded, read_one, readable_errors, undecoded
from taskscheduler.store.on_demand.making import OnDemandIndexes
from taskscheduler.store.requeue_update import requeue_update
from taskscheduler.store.schema import ensure_indexes

logger = logging.getLogger(__name__)

TO_SERVICE, FROM_SERVICE = "in", "out"

_INDEX = "service"  #: of the jobs; the first service makes it

_RETENTION = 86_400  #: seconds for which a message waits to be received

_ORDER = [("at", ASCENDING), ("_id", ASCENDING)]

_INDEXES = [
    IndexModel([("service", ASCENDING), ("way", ASCENDING), *_ORDER], name="oldest"),
    IndexModel([("at", ASCENDING)], name="retention", expireAfterSeconds=_RETENTION),
]


class ServiceStore:
    """Finds services, starts ended ones again, and notes when the process of a cancelled one is gone.

    A job that was cancelled while it ran keeps `claim` and `boot`. While a service has them its process may still be
    there, so a new start waits until they are removed.
    """

    def __init__(self, database: Database[Document], options: SchedulerOptions, on_demand: OnDemandIndexes) -> None:
        self._collection = database[options.job_store]
        self._on_demand = on_demand

    def get(self, name: str) -> Document | None:
        """Returns the service of this name, in any status."""
        named: Document = {"service.name": name}
        found = self._on_demand.read(_INDEX, lambda jobs: jobs.find(named).hint(_INDEX).limit(1))
        return next(iter(found), None)

    def all(self) -> list[Document]:
        """Returns all services in the order of their names, ended ones too."""
        query = {"service.name": {"$exists": True}}
        return self._on_demand.read(_INDEX, lambda jobs: jobs.find(query).sort("service.name", 1).hint(_INDEX))

    def rearm(self, job: Mapping[str, Any], definition: Mapping[str, Any] | None = None) -> Document | None:
        """Queues an ended service again, with a new `definition` if one is given; None if it has changed since `job`.

        A part of the definition that is None is removed from the document, except the data.
        """
        query = {
            "_id": job["_id"],
            "status": from_statuses(Transition.REQUEUE),
            **{name: {"$eq": job[name]} for name in ("ended", "attempt") if name in job},
            "pending": {"$nin": ["next", "family"]},
        }
        fresh: Document = {"service.failures": {"$literal": 0}}
        if definition is not None:
            self._on_demand.make(needed_after(definition))
            fresh = {
                name: "$$REMOVE" if value is None and name != "data" else {"$literal": value}
                for name, value in definition.items()
            }
        update = [*requeue_update(job), {"$set": fresh}]
        return change_one(self._collection, as_stored(query), update, return_document=ReturnDocument.AFTER)

    def gone(self, fence: Fence) -> None:
        """Notes that the process of a cancelled attempt is gone."""
        query = {**fence.filter(), "status": int(Status.CANCELED)}
        self._collection.update_one(query, {"$unset": {"claim": "", "boot": ""}})

    def not_gone(self, boot: ObjectId) -> list[Fence]:
        """Returns the attempts of cancelled services that one start of a node has not yet reported as gone."""
        query = {"service.name": {"$exists": True}, "boot": boot, "status": int(Status.CANCELED)}
        found = self._on_demand.read(_INDEX, lambda jobs: jobs.find(query, FENCE_FIELDS).hint(_INDEX))
        return [Fence(job["_id"], job["claim"], job["attempt"]) for job in found if has_fence(job)]

    def release_unstarted(self, claim: str, boot: ObjectId) -> None:
        """Notes that services never started which were cancelled before their claim was read back."""
        query = {"service.name": {"$exists": True}, "claim": claim, "boot": boot, "status": int(Status.CANCELED)}
        with self._on_demand.if_there(_INDEX):
            self._collection.update_many(query, {"$unset": {"claim": "", "boot": ""}}, hint=_INDEX)

    def is_gone(self, job_id: ObjectId) -> bool:
        """Whether the process of the last attempt is gone, as far as is known."""
        found = read_one(self._collection, lambda jobs: jobs.find_one({"_id": job_id}, {"claim": 1}))
        return found is None or "claim" not in found


class ServiceMessageStore:
    """Messages in order, by the service's job and their direction."""

    def __init__(self, database: Database[Document], clock: Clock) -> None:
        self._database = database
        self._collection = database[MESSAGES]
        self._clock = clock
        self._ensured = False

    def put(self, service: ObjectId, way: str, value: Any) -> None:
        """Stores a message durably, behind those that this process stored before."""
        if not self._ensured:
            ensure_indexes(self._database, MESSAGES, _INDEXES)
            self._ensured = True
        self._collection.insert_one(
            {"_id": ObjectId(), "service": service, "way": way, "at": self._clock.now(), "value": value}
        )

    def take(self, service: ObjectId, way: str) -> Document | None:
        """Removes and returns the oldest message, None if there is none; no other caller gets the same one.

        One that cannot be read is removed and logged.
        """
        query = {"service": service, "way": way}
        while True:
            with readable_errors():
                found = decoded(undecoded(self._collection).find_one_and_delete(query, sort=_ORDER))
            if found is None or ("value" in found and not isinstance(found, UnreadableDocument)):
                return found
            reason = found.reason if isinstance(found, UnreadableDocument) else "it has no value"
            logger.warning("message dropped that cannot be read", extra={"service": str(service), "reason": reason})
