"""The audit log: one document for each action, indexed by who, what, target and outcome, each from the newest.

The collection and its indexes are made with the first entry, so that who has none pays nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.document import Document
from taskscheduler.model.options import AUDIT
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.lenient_reads import read
from taskscheduler.store.schema import ensure_indexes

_INDEXES = [
    *(IndexModel([(name, ASCENDING), ("_id", DESCENDING)], name=name) for name in ("who", "what", "target", "outcome")),
    IndexModel([("expires", ASCENDING)], name="expires", expireAfterSeconds=0),
]

_MAX_TIME_MS = 10_000


class WantedEntries(NamedTuple):
    """Which entries to read; what is empty or None does not matter."""

    who: str = ""
    what: Sequence[str] = ()
    target: str = ""
    outcome: str = ""
    since: datetime | None = None
    before: ObjectId | None = None  #: older than this entry

    def query(self) -> Document:
        """Returns the query."""
        given = {"who": self.who, "target": self.target, "outcome": self.outcome}
        query: Document = {name: {"$eq": value} for name, value in given.items() if value}
        if self.what:
            query["what"] = {"$in": list(self.what)}
        ids = {"$gte": None if self.since is None else ObjectId.from_datetime(self.since), "$lt": self.before}
        if bounds := {name: value for name, value in ids.items() if value is not None}:
            query["_id"] = bounds
        return query


class AuditStore:
    """The audit log of one database."""

    def __init__(self, database: Database[Document]) -> None:
        self._database = database
        self.collection: Collection[Document] = database[AUDIT]
        self._is_made = False

    def add(self, entry: Document) -> Document:
        """Stores an entry and returns it."""
        if not self._is_made:
            ensure_indexes(self._database, AUDIT, _INDEXES)
            self._is_made = True
        self.collection.insert_one(entry)
        return entry

    def close(self, entry_id: ObjectId, outcome: Mapping[str, Any]) -> None:
        """Stores the outcome of an action in its entry."""
        self.collection.update_one({"_id": entry_id}, {"$set": dict(outcome)})

    @translated()
    def newest(self, wanted: WantedEntries, limit: int) -> list[Document]:
        """Returns entries, the newest first."""
        query = wanted.query()
        return read(
            self.collection,
            lambda entries: entries.find(query).sort("_id", DESCENDING).limit(limit).max_time_ms(_MAX_TIME_MS),
        )
