"""The stored schedules: one document each, changed only by who knows its revision `rev`.

What a node decides for a schedule whose time has come is one write: the next time, and the runs to add (`adding`).
Then it inserts those runs, whose ids follow from schedule and time, and settles the document. If it dies in between,
whoever looks next finds `adding`, and inserts the same runs again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, IndexModel, ReturnDocument, UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from taskscheduler.model.control.keys import FAR
from taskscheduler.model.document import Document
from taskscheduler.model.lenient import as_stored
from taskscheduler.model.options import SCHEDULES
from taskscheduler.model.sound import is_count
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.lenient_reads import NO_TEXT, change_one, read, read_one, read_some
from taskscheduler.store.schema import ensure_indexes

_INDEXES = [IndexModel([("due_at", ASCENDING)], name="due", partialFilterExpression={"due_at": {"$exists": True}})]

MOST = 1000  #: schedules in one look
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

#: the states by which a list may be filtered; there are so few schedules that this needs no index
STATES: Mapping[str, Document] = {"paused": {"paused": True}, "undeclared": {"undeclared": True}}

_LAST_CHARACTER = "\U0010ffff"
_BULKY = {"job.data": 0}
_MAX_TIME_MS = 10_000


class ScheduleStore:
    """The schedules of one database."""

    def __init__(self, database: Database[Document]) -> None:
        self.collection: Collection[Document] = database[SCHEDULES]

    def get(self, name: str) -> Document | None:
        """Returns the schedule of this name."""
        query = as_stored({"_id": {"$eq": name}})
        return read_one(self.collection, lambda schedules: schedules.find_one(query))

    def all(self) -> list[Document]:
        """Returns all schedules by their names."""
        return read(self.collection, lambda schedules: schedules.find().sort("_id", 1))

    @translated()
    def page(self, limit: int, after: str = "", begins: str = "", state: str = "") -> list[Document]:
        """Returns schedules by their names, without the data of their jobs.

        Only those `after` this name, whose name begins so, and in this one of STATES.
        """
        names: Document = {"$gte": begins}
        if begins:
            names["$lt"] = begins + _LAST_CHARACTER
        if after:
            names["$gt"] = after
        query = {"_id": names, **(STATES[state] if state else {})}
        return read(
            self.collection,
            lambda schedules: schedules.find(query, _BULKY).sort("_id", 1).limit(limit).max_time_ms(_MAX_TIME_MS),
        )

    @translated()
    def nameless(self) -> list[Document]:
        """Returns some schedules whose name is no text: somebody else must have written them."""
        return read_some(self.collection, [{"_id": of_type} for of_type in NO_TEXT], _BULKY, "_id_")

    @translated()
    def count(self, state: str, most: int) -> int:
        """Returns how many schedules are in one of STATES, up to `most`."""
        return self.collection.count_documents(STATES[state], limit=most, maxTimeMS=_MAX_TIME_MS)

    def declared_by(self, boot: ObjectId) -> list[Document]:
        """Returns the schedules that the node started as `boot` declares."""
        return read(self.collection, lambda schedules: schedules.find({"boots": boot}))

    def insert(self, document: Mapping[str, Any]) -> bool:
        """Stores a new schedule; False if there is one of this name. The first one creates the index, too."""
        self.ensure()
        try:
            self.collection.insert_one({**document, "rev": 0})
        except DuplicateKeyError:
            return False
        return True

    def ensure(self) -> None:
        """Creates the collection and its index if they are missing."""
        ensure_indexes(self.collection.database, SCHEDULES, _INDEXES)

    def change(self, known: Mapping[str, Any], values: Mapping[str, Any]) -> Document | None:
        """Sets fields of a schedule, None removes one; returns the new document, None if others changed it before."""
        query, update = change_of(known, values)
        return change_one(self.collection, query, update, return_document=ReturnDocument.AFTER)

    def delete(self, name: str) -> bool:
        """Deletes a schedule; returns whether there was one."""
        return self.collection.delete_one(as_stored({"_id": {"$eq": name}})).deleted_count == 1

    def due(self, now: datetime) -> list[Document]:
        """Returns the schedules to look at, those that are due for the longest time first."""
        query = {"due_at": {"$lte": now}}
        return read(self.collection, lambda schedules: schedules.find(query).sort("due_at", 1).limit(MOST))

    def next_due(self) -> datetime | None:
        """Returns when the first schedule has to be looked at; None if there is none.

        At once for a date before those of Python, and never for one beyond them, or for a list.
        """
        query, fields = {"due_at": {"$type": "date", "$lt": FAR, "$not": {"$type": "array"}}}, {"due_at": 1}
        found = read(self.collection, lambda schedules: schedules.find(query, fields).sort("due_at", 1).limit(1))
        due = found[0].get("due_at") if found else None
        return due if due is None or isinstance(due, datetime) else _LONG_AGO

    def decide(self, changes: Sequence[tuple[Document, Mapping[str, Any]]], token: ObjectId) -> list[Document]:
        """Writes what was decided for schedules that nobody has changed in between; returns those as they are now."""
        writes = [
            UpdateOne({"_id": known["_id"], "rev": known["rev"]}, _change({**values, "token": token}))
            for known, values in changes
        ]
        if not writes:
            return []
        self.collection.bulk_write(writes, ordered=False)
        ours = {"_id": {"$in": [known["_id"] for known, _ in changes]}, "token": token}
        return read(self.collection, lambda schedules: schedules.find(ours))

    def set_aside(self, name: Any) -> None:
        """Keeps everybody from looking at a schedule."""
        self.collection.update_one(as_stored({"_id": {"$eq": name}}), {"$unset": {"due_at": ""}})

    def settle(self, done: Sequence[tuple[Document, datetime | None]]) -> None:
        """Notes that what was decided is done, and when to look again."""
        writes = [
            UpdateOne(
                {"_id": known["_id"], "rev": known["rev"]},
                _change({"adding": None, "cancelling": None, "token": None, "due_at": due_at}),
            )
            for known, due_at in done
        ]
        if writes:
            self.collection.bulk_write(writes, ordered=False)


def change_of(known: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[Document, Document]:
    """Returns the query and the update that set fields of a schedule unless others have changed it."""
    query = {"_id": known["_id"], "rev": {"$eq": known.get("rev")}}
    update = _change(values)
    if not is_count(known.get("rev")):  # somebody has changed it: there is nothing to count on
        update = {**update, "$set": {**update.get("$set", {}), "rev": 0}}
        del update["$inc"]
    return query, update


def _change(values: Mapping[str, Any]) -> Document:
    update: Document = {"$inc": {"rev": 1}}
    given = {name: value for name, value in values.items() if value is not None}
    removed = [name for name, value in values.items() if value is None]
    if given:
        update["$set"] = given
    if removed:
        update["$unset"] = dict.fromkeys(removed, "")
    return update
