"""Databases that tests use one after another: to make the indexes of one takes 100 ms of CPU, to empty it 15."""

from __future__ import annotations

from collections import deque
from typing import Any

from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from taskscheduler import Scheduler

_RESTING = 3  #: databases that wait: what a test has left running would be seen before the database is used again

Shape = dict[str, tuple[Any, dict[str, Any]]]  #: of each collection its options and indexes, by name


class Databases:
    """Databases of one server, which look as the product makes them with its default options, and are empty."""

    def __init__(self, server_uri: str) -> None:
        self._server_uri = server_uri
        self._client: MongoClient[dict[str, Any]] = MongoClient(server_uri.format("admin"), connect=False)
        self._resting: deque[str] = deque()
        self._shape: Shape = {}

    def take(self) -> str:
        """The name of a database that nobody else uses."""
        while len(self._resting) > _RESTING:
            name = self._resting.popleft()
            if self._is_empty(self._client[name]):
                return name
            self._client.drop_database(name)
        return self._made()

    def give_back(self, name: str, reusable: bool) -> None:
        """Empties a database, or drops it if that is not enough to make it look as before, or not `reusable`."""
        if reusable and self._empty(self._client[name]):
            self._resting.append(name)
        else:
            self._client.drop_database(name)

    def close(self) -> None:
        """Ends the connection; the databases end with their server."""
        self._client.close()

    def _made(self) -> str:
        name = f"test_{ObjectId()}"
        with Scheduler(self._server_uri.format(name)) as scheduler:
            scheduler.counts()
        if not self._shape:
            self._shape = _shape(self._client[name])
        return name

    def _empty(self, database: Database[dict[str, Any]]) -> bool:
        found = _shape(database)
        for collection in found.keys() - self._shape.keys():
            database.drop_collection(collection)
        for collection, (options, indexes) in self._shape.items():
            if collection not in found or found[collection][0] != options:
                return False
            for index in found[collection][1].keys() - indexes.keys():
                database[collection].drop_index(index)
            if any(found[collection][1].get(index) != made for index, made in indexes.items()):
                return False
            database[collection].delete_many({})
        return True

    def _is_empty(self, database: Database[dict[str, Any]]) -> bool:
        """Whether nobody has written to it since it was emptied, nor follows its changes."""
        if self._has_cursors(database.name) or {*database.list_collection_names()} != self._shape.keys():
            return False
        return all(database[collection].find_one({}, {}) is None for collection in self._shape)

    def _has_cursors(self, name: str) -> bool:
        stages: list[dict[str, Any]] = [
            {"$currentOp": {"idleCursors": True, "allUsers": True}},
            {"$match": {"ns": {"$regex": f"^{name}\\."}, "cursor": {"$exists": True}}},
            {"$limit": 1},
        ]
        with self._client.admin.aggregate(stages) as found:
            return any(True for _ in found)


def _shape(database: Database[dict[str, Any]]) -> Shape:
    entries = [entry for entry in database.list_collections() if not entry["name"].startswith("system.")]
    return {entry["name"]: (entry["options"], _indexes(database, entry["name"])) for entry in entries}


def _indexes(database: Database[dict[str, Any]], collection: str) -> dict[str, Any]:
    return {index["name"]: dict(index) for index in database[collection].list_indexes()}
