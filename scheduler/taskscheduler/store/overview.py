"""Reads the state of a cluster for tools: server, collections, nodes, counts and backlogs. Every read is bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.solo import FAR
from taskscheduler.store.client import check_server, durable
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.job_lists import CAP, COUNT_INDEX
from taskscheduler.store.nodes import NodeStore
from taskscheduler.store.schema import missing_indexes

_MAX_QUEUES = 50


@dataclass(frozen=True, slots=True)
class Server:
    """Facts about the server."""

    version: str
    replica_set: str  #: empty for a sharded cluster
    address: str  #: empty for a sharded cluster
    ping: float  #: seconds
    ahead: float  #: seconds by which this host's clock is ahead of the server's


@dataclass(frozen=True, slots=True)
class Backlog:
    """The waiting jobs of one queue, counted up to CAP + 1."""

    queue: str
    waiting: int
    oldest: float  #: seconds since the first of them was due


_IS_DATE = {"$eq": [{"$type": "$at"}, "date"]}


class ClusterOverview:
    """Reads for administrators. Changes nothing; raises DatabaseError and its subclasses."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        self._database = durable(database)
        self._options = options
        self._clock = clock
        self._jobs = self._database[options.job_store]

    @translated()
    def server(self) -> Server:
        """Returns facts about the server; UnsupportedServerError if it cannot hold jobs."""
        check_server(self._database, self._clock)
        begun, here = self._clock.monotonic(), SYSTEM_CLOCK.now()
        hello = self._database.command("hello")
        ping = self._clock.monotonic() - begun
        there = hello["localTime"]
        there = there if there.tzinfo else there.replace(tzinfo=UTC)
        ahead = (here + timedelta(seconds=ping / 2) - there).total_seconds()
        version = str(self._database.command("buildInfo")["version"])
        return Server(version, hello.get("setName", ""), hello.get("me", ""), ping, ahead)

    @translated()
    def open_stream(self) -> float:
        """Opens a change stream on the jobs, reads once and returns the seconds that took."""
        begun = self._clock.monotonic()
        jobs = self._jobs.with_options(read_concern=ReadConcern("majority"))
        with jobs.watch([{"$match": {"operationType": "none"}}], max_await_time_ms=1) as stream:
            stream.try_next()
        return self._clock.monotonic() - begun

    @translated()
    def missing_indexes(self) -> list[str]:
        """Returns the names of the indexes that the job store lacks."""
        return missing_indexes(self._database, self._options)

    @translated()
    def capped(self) -> dict[str, bool | None]:
        """Returns for each collection that must be capped whether it is; None if it does not exist."""
        names = [self._options.job_queue, self._options.event_queue]
        found = {entry["name"]: entry for entry in self._database.list_collections(filter={"name": {"$in": names}})}
        return {name: bool(found[name]["options"].get("capped")) if name in found else None for name in names}

    @property
    def name(self) -> str:
        """The name of the database."""
        return self._database.name

    @translated()
    def nodes(self) -> list[Document]:
        """Returns every node of the last day; see NodeStore.all."""
        return NodeStore(self._database).all()

    @translated()
    def counts(self) -> dict[Status, int]:
        """Counts the jobs in each status, up to CAP + 1."""
        present = self._jobs.index_information()
        return {status: self._count(status, present) for status in Status}

    def _count(self, status: Status, present: Mapping[str, Any]) -> int:
        index = COUNT_INDEX.get(status, "unsuccessful")
        hint: dict[str, Any] = {"hint": index} if index in present else {}
        return int(self._jobs.count_documents({"status": int(status)}, limit=CAP + 1, **hint))

    @translated()
    def backlogs(self) -> list[Backlog]:
        """Returns the backlog of the first queues by name."""
        found: list[Backlog] = []
        while len(found) < _MAX_QUEUES:
            after = found[-1].queue if found else ""
            query = {"status": int(Status.WAITING), "queue": {"$gt": after}}
            first = next(iter(self._jobs.find(query, {"queue": 1}).sort("queue", 1).limit(1)), None)
            if first is None:
                break
            found.append(self._backlog(first["queue"]))
        return found

    def _backlog(self, queue: str) -> Backlog:
        waited = {"$cond": [_IS_DATE, {"$divide": [{"$subtract": ["$$NOW", "$at"]}, 1000]}, 0]}
        stages: list[Document] = [
            {"$match": {"status": int(Status.WAITING), "queue": queue}},
            {"$limit": CAP + 1},
            {"$group": {"_id": None, "count": {"$sum": 1}, "oldest": {"$max": waited}}},
        ]
        entry = next(iter(self._jobs.aggregate(stages)), {"count": 0, "oldest": 0})
        return Backlog(queue, int(entry["count"]), max(0.0, float(entry["oldest"] or 0)))

    @translated()
    def next_due(self) -> float | None:
        """Returns the seconds until the next postponed job is due; None if there is none."""
        left = {"$divide": [{"$subtract": ["$at", "$$NOW"]}, 1000]}
        stages: list[Document] = [
            {"$match": {"status": int(Status.POSTPONED), "at": {"$lt": FAR, "$not": {"$type": "array"}}}},
            {"$sort": {"at": 1}},
            {"$limit": 1},
            {"$project": {"left": left}},
        ]
        entry = next(iter(self._jobs.aggregate(stages)), None)
        return None if entry is None else float(entry["left"])
