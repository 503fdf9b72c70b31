"""Stores messages to and from services, in a collection that exists only once it is used."""

from __future__ import annotations

from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from taskscheduler.clock import Clock
from taskscheduler.model.document import Document
from taskscheduler.model.options import MESSAGES
from taskscheduler.store.schema import ensure_indexes

TO_SERVICE, FROM_SERVICE = "in", "out"

_RETENTION = 86_400  #: seconds for which a message waits to be received

_ORDER = [("at", ASCENDING), ("_id", ASCENDING)]

_INDEXES = [
    IndexModel([("service", ASCENDING), ("way", ASCENDING), *_ORDER], name="oldest"),
    IndexModel([("at", ASCENDING)], name="retention", expireAfterSeconds=_RETENTION),
]


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
        """Removes and returns the oldest message, None if there is none; no other caller gets the same one."""
        return self._collection.find_one_and_delete({"service": service, "way": way}, sort=_ORDER)
