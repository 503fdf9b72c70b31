"""The steps of a migration: each says cheaply what there is to do, and does it in small batches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

from pymongo.collection import Collection as MongoCollection
from pymongo.database import Database
from pymongo.errors import OperationFailure

from taskscheduler.model.document import Document
from taskscheduler.model.lenient import as_stored
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.control_updates import own_list
from taskscheduler.store.lenient_reads import ONLY_ID, read_ids
from taskscheduler.store.schema import await_indexes, begun_indexes, complete, missing_indexes

MAX_TIME_MS = 10_000

BATCH = 500  #: jobs that one write changes

PARKED_INDEX = "parked"

_INDEX_NOT_FOUND = 27

_NOT_LISTED: Document = {"blocked": None, "parked_at": {"$exists": True}, "solo": {"$type": "string"}}


class StepWork(Protocol):
    """What a step does in the database. Raises the driver's errors."""

    def found(self) -> str:
        """Returns what there is to do, in words; empty if there is nothing."""
        ...

    def take(self) -> Iterator[int]:
        """Does it in batches, and yields how many each has changed. After any command it may end, and begin anew."""
        ...


class MissingIndexes:
    """Makes indexes. One scan of the collection fills all of them, while jobs are added and run."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, on_demand: Collection[str]) -> None:
        """`on_demand`: the names of indexes on demand that are made, too."""
        self._database = database
        self._options = options
        self._on_demand = on_demand

    def found(self) -> str:
        """Names the indexes."""
        return ", ".join(missing_indexes(self._database, self._options, self._on_demand))

    def take(self) -> Iterator[int]:
        """Makes them all, and waits for those that somebody else has begun to make."""
        missing = missing_indexes(self._database, self._options, self._on_demand)
        complete(self._database, self._options, self._on_demand)
        await_indexes(self._database[self._options.job_store])
        yield len(missing)


class ParkedJobs:
    """Lists jobs that version 0.1.0 has parked. Nodes of this version do the same, all at once."""

    def __init__(self, jobs: MongoCollection[Document]) -> None:
        self._jobs = jobs

    def found(self) -> str:
        """Says whether there are any."""
        return "some are in no list" if serves(self._jobs, PARKED_INDEX) and self._ids(PARKED_INDEX, 1) else ""

    def take(self) -> Iterator[int]:
        """Puts them into the lists of their keys."""
        before: list[Any] = []
        while (ids := self._ids("blocked", BATCH)) and ids != before:
            before = ids
            parked = as_stored({**_NOT_LISTED, "_id": {"$in": ids}})
            yield self._jobs.update_many(parked, [{"$set": {"blocked": own_list()}}]).modified_count

    def _ids(self, index: str, most: int) -> list[Any]:
        query = as_stored(_NOT_LISTED)
        return read_ids(
            self._jobs, lambda jobs: jobs.find(query, ONLY_ID).hint(index).limit(most).max_time_ms(MAX_TIME_MS)
        )


class OlderIndex:
    """Removes an index. The server waits for what runs just then, and gives up after some seconds."""

    def __init__(self, jobs: MongoCollection[Document], name: str) -> None:
        self._jobs = jobs
        self._name = name

    def found(self) -> str:
        """Says whether it is there."""
        return "it is there" if has_index(self._jobs, self._name) else ""

    def take(self) -> Iterator[int]:
        """Removes it, unless somebody else has."""
        try:
            self._jobs.drop_index(self._name, maxTimeMS=MAX_TIME_MS)
        except OperationFailure as error:
            if error.code != _INDEX_NOT_FOUND:
                raise
        yield 1


def has_index(jobs: MongoCollection[Document], name: str) -> bool:
    """Whether there is an index of this name."""
    present: Mapping[str, Any] = jobs.index_information()
    return name in present


def serves(jobs: MongoCollection[Document], name: str) -> bool:
    """Whether there is an index of this name that queries may name: one that is being made serves none."""
    return has_index(jobs, name) and all(spec["name"] != name for spec in begun_indexes(jobs))
