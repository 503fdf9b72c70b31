"""Databases that tests use one after another: to make the indexes of one takes 190 ms of CPU, to empty it 15."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from taskscheduler import Scheduler

_RESTING = 3  #: databases that wait: what a test has left running would be seen before the database is used again

_IDLE = 1000  #: milliseconds; who follows changes asks for more all the time, and each question waits for so long

Catalog = dict[str, dict[str, Any]]  #: what the server keeps of each collection, by name

Shape = dict[str, tuple[Any, dict[str, Any]]]  #: of each collection its options and indexes, by name

_NOTHING: tuple[Any, dict[str, Any]] = ({}, {})


class Databases:
    """Databases of one server, which look as the product makes them with its default options, and are empty."""

    def __init__(self, server_uri: str) -> None:
        self._server_uri = server_uri
        #: of this process, for tests as well
        self.client: MongoClient[dict[str, Any]] = MongoClient(server_uri.format("admin"), connect=False)
        self._resting: deque[str] = deque()
        self._shape: Shape = {}

    def take(self) -> str:
        """The name of a database that nobody else uses."""
        while len(self._resting) > _RESTING:
            name = self._resting.popleft()
            if self._is_empty(self.client[name]):
                return name
            self.client.drop_database(name)
        return self._made()

    def give_back(self, name: str, reusable: bool) -> None:
        """Empties a database, or drops it if that is not enough to make it look as before, or not `reusable`."""
        if reusable and self._empty(self.client[name]):
            self._resting.append(name)
        else:
            self.client.drop_database(name)

    def close(self) -> None:
        """Ends the connection; the databases end with their server."""
        self.client.close()

    def _made(self) -> str:
        name = f"test_{ObjectId()}"
        with Scheduler(self._server_uri.format(name)) as scheduler:
            scheduler.counts()
        if not self._shape:
            self._shape = _shape(_catalog(self.client[name]))
        return name

    def _empty(self, database: Database[dict[str, Any]]) -> bool:
        catalog = _catalog(database)
        found = _shape(catalog)
        for collection in found.keys() - self._shape.keys():
            database.drop_collection(collection)
        for collection, (options, indexes) in self._shape.items():
            if collection not in found or found[collection][0] != options:
                return False
            for index in found[collection][1].keys() - indexes.keys():
                database[collection].drop_index(index)
            if any(found[collection][1].get(index) != made for index, made in indexes.items()):
                return False
        for collection in self._filled(database):
            database[collection].delete_many({})
        for collection, name in _multikey(catalog):
            if name in self._shape.get(collection, _NOTHING)[1]:
                database[collection].drop_index(name)
                database.command("createIndexes", collection, indexes=[self._shape[collection][1][name]])
        return True

    def _is_empty(self, database: Database[dict[str, Any]]) -> bool:
        """Whether nobody has written to it since it was emptied, nor follows its changes."""
        if self._is_followed(database.name) or {*database.list_collection_names()} != self._shape.keys():
            return False
        return not self._filled(database)

    def _filled(self, database: Database[dict[str, Any]]) -> list[str]:
        """The collections that have documents. One command asks for all of them."""
        looks: dict[str, list[dict[str, Any]]] = {
            name: [{"$limit": 1}, {"$project": {"_id": {"$literal": name}}}] for name in self._shape
        }
        first, *others = looks
        unions = [{"$unionWith": {"coll": name, "pipeline": looks[name]}} for name in others]
        with database[first].aggregate([*looks[first], *unions]) as found:
            return [entry["_id"] for entry in found]

    def _is_followed(self, name: str) -> bool:
        """Whether anybody follows its changes. Closes the cursors that killed processes have left open."""
        stages: list[dict[str, Any]] = [
            {"$currentOp": {"idleCursors": True, "allUsers": True}},
            {"$match": {"ns": {"$regex": f"^{name}\\."}, "cursor": {"$exists": True}}},
            {"$project": {"type": 1, "ns": 1, "cursor": 1, "idle": {"$subtract": ["$$NOW", "$cursor.lastAccessDate"]}}},
        ]
        with self.client.admin.aggregate(stages) as entries:
            found = list(entries)
        if any(entry["type"] != "idleCursor" or entry["idle"] < _IDLE for entry in found):
            return True
        for entry in found:
            self.client[name].command(
                "killCursors", entry["ns"].partition(".")[2], cursors=[entry["cursor"]["cursorId"]]
            )
        return False


def _shape(catalog: Catalog) -> Shape:
    return {name: _made_of(known) for name, known in catalog.items()}


def _made_of(known: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    options = {name: value for name, value in known["options"].items() if name != "uuid"}
    return options, {index["spec"]["name"]: index["spec"] for index in known["indexes"]}


def _multikey(catalog: Catalog) -> Iterator[tuple[str, str]]:
    """The indexes that have held a list. The server plans other searches by them for ever."""
    for collection, known in catalog.items():
        yield from ((collection, index["spec"]["name"]) for index in known["indexes"] if index["multikey"])


def _catalog(database: Database[dict[str, Any]]) -> Catalog:
    """What one command tells of all collections and indexes; list_indexes would take one for each collection."""
    with database.client.admin.aggregate([{"$listCatalog": {}}, {"$match": {"db": database.name}}]) as entries:
        nothing: dict[str, Any] = {"options": {}, "indexes": []}  # a view has none
        return {entry["name"]: entry.get("md", nothing) for entry in entries if not entry["name"].startswith("system.")}
