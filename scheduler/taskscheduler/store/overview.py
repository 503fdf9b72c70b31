"""Decides what tools may read about a database: bounded looks at jobs, queues, nodes, collections and the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from heapq import merge
from itertools import islice
from typing import Any

from bson import ObjectId
from pymongo.cursor import Cursor
from pymongo.database import Database
from pymongo.errors import ExecutionTimeout
from pymongo.read_concern import ReadConcern

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import LIVE, Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.solo import FAR
from taskscheduler.store.client import check_server, durable
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.job_lists import _created, _id, _own_index, _wanted
from taskscheduler.store.jobs import LIVE_FILTER
from taskscheduler.store.nodes import NodeStore
from taskscheduler.store.schema import missing_indexes

CAP = 10_000  #: no count goes further

MOST_SEARCHED = 500_000  #: jobs among which ended ones of some queue are looked for, as no index has them by queue

_MAX_QUEUES = 50

_MAX_CLASSES = 100

_MAX_TIME_MS = 10_000

_QUICK_MS = 200  #: for a look that may pass over millions of jobs, where there is another way

_BULKY = {"data": 0, "result": 0}

_TOLD = ("class", "queue", "status", "created", "data", "tags")

_COUNT_INDEX = {
    Status.WAITING: "claim",
    Status.POSTPONED: "due",
    Status.PROCESSING: "held",
    Status.DONE: "retention",
}

_LIST_INDEX = {Status.PROCESSING: "held"}  #: else all that wait would be passed over


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says about itself."""

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
    oldest: float  #: seconds for which the longest due of them has waited


class Inspection:
    """Reads that an administrator needs. Nothing is created or changed; database errors are ours."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, clock: Clock = SYSTEM_CLOCK) -> None:
        self._database = durable(database)
        self._options = options
        self._clock = clock
        self._jobs = self._database[options.job_store]

    # -- the server -------------------------------------------------------------------------------------------------

    @translated()
    def server(self) -> Server:
        """Facts about the server; UnsupportedServerError if jobs cannot be kept there."""
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
        """Open a change stream on the jobs and look into it once; the seconds that took."""
        begun = self._clock.monotonic()
        jobs = self._jobs.with_options(read_concern=ReadConcern("majority"))
        with jobs.watch([{"$match": {"operationType": "none"}}], max_await_time_ms=1) as stream:
            stream.try_next()
        return self._clock.monotonic() - begun

    @translated()
    def missing_indexes(self) -> list[str]:
        return missing_indexes(self._database, self._options)

    @translated()
    def capped(self) -> dict[str, bool | None]:
        """Which of the collections that must be capped are; None for one that does not exist."""
        names = [self._options.job_queue, self._options.event_queue]
        found = {entry["name"]: entry for entry in self._database.list_collections(filter={"name": {"$in": names}})}
        return {name: bool(found[name]["options"].get("capped")) if name in found else None for name in names}

    @property
    def name(self) -> str:
        return self._database.name

    # -- nodes and counts -------------------------------------------------------------------------------------------

    @translated()
    def nodes(self) -> list[Document]:
        """Every node of the last day; see NodeStore.all."""
        return NodeStore(self._database).all()

    @translated()
    def counts(self) -> dict[Status, int]:
        """How many jobs there are in each status, up to CAP + 1."""
        present = self._jobs.index_information()
        return {status: self._count(status, present) for status in Status}

    def _count(self, status: Status, present: Mapping[str, Any]) -> int:
        index = _COUNT_INDEX.get(status, "unsuccessful")
        hint: dict[str, Any] = {"hint": index} if index in present else {}
        return int(self._jobs.count_documents({"status": int(status)}, limit=CAP + 1, **hint))

    @translated()
    def backlogs(self) -> list[Backlog]:
        """The waiting jobs per queue, for the first queues by name."""
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
        waited = {"$divide": [{"$subtract": ["$$NOW", "$at"]}, 1000]}
        stages: list[Document] = [
            {"$match": {"status": int(Status.WAITING), "queue": queue}},
            {"$limit": CAP + 1},
            {"$group": {"_id": None, "count": {"$sum": 1}, "oldest": {"$max": waited}}},
        ]
        entry = next(iter(self._jobs.aggregate(stages)), {"count": 0, "oldest": 0})
        return Backlog(queue, int(entry["count"]), max(0.0, float(entry["oldest"] or 0)))

    @translated()
    def next_due(self) -> float | None:
        """Seconds until the next postponed job is due; None if there is none."""
        left = {"$divide": [{"$subtract": ["$at", "$$NOW"]}, 1000]}
        stages: list[Document] = [
            {"$match": {"status": int(Status.POSTPONED), "at": {"$lt": FAR}}},
            {"$sort": {"at": 1}},
            {"$limit": 1},
            {"$project": {"left": left}},
        ]
        entry = next(iter(self._jobs.aggregate(stages)), None)
        return None if entry is None else float(entry["left"])

    # -- jobs -------------------------------------------------------------------------------------------------------

    @translated()
    def recent(self, query: Mapping[str, Any], limit: int, fields: Mapping[str, Any] | None = None) -> list[Document]:
        """The newest jobs that match, without data and result."""
        fields = fields or _BULKY
        found, own = self._found(query, limit, fields), _own_index(query)
        if own is None:
            return sorted(found, key=_created, reverse=True)
        try:
            return sorted(found.max_time_ms(_QUICK_MS), key=_created, reverse=True)
        except ExecutionTimeout:  # too many newer jobs wait for something else
            few = self._jobs.find(query, fields).hint(own).sort("_id", -1).allow_disk_use(True)
            return sorted(few.limit(limit).max_time_ms(_MAX_TIME_MS), key=_created, reverse=True)

    def _found(self, query: Mapping[str, Any], limit: int, fields: Mapping[str, Any]) -> Cursor[Document]:
        if (ids := self._few(query)) is not None:
            chosen = self._jobs.find({**query, "_id": {"$in": ids}}, dict(fields)).hint("_id_")
            return chosen.sort("_id", -1).limit(limit).max_time_ms(_MAX_TIME_MS)
        cursor = self._jobs.find({**query, **self._classes(query)}, dict(fields)).sort("_id", -1)
        wanted = _wanted(query)
        if "service.name" in query:
            return cursor.hint("service").limit(limit).max_time_ms(_MAX_TIME_MS)
        if "program" in query and wanted == {Status.PROCESSING}:
            return cursor.hint("tracked").limit(limit).max_time_ms(_MAX_TIME_MS)
        if len(wanted) == 1 and (index := _LIST_INDEX.get(min(wanted))):
            cursor = cursor.hint(index)
        return cursor.limit(limit).max_time_ms(_MAX_TIME_MS)

    def _few(self, query: Mapping[str, Any]) -> list[ObjectId] | None:
        """The live jobs of a queue that a query is about; None if it is about others, too, or there are too many.

        Only those that wait have an index by queue; of the others all are looked at.
        """
        wanted = _wanted(query)
        if "queue" not in query or "_id" in query or not wanted or not wanted <= LIVE:
            return None
        ids: list[ObjectId] = []
        for status in sorted(wanted):
            own = {"queue": query["queue"]} if status is Status.WAITING else {}
            looked = self._jobs.find({"status": int(status), **own}, {"queue": 1}).hint(_COUNT_INDEX[status])
            seen = list(looked.limit(CAP + 1).max_time_ms(_MAX_TIME_MS))
            if len(seen) > CAP:
                return None
            ids += [job["_id"] for job in seen if job["queue"] == query["queue"]]
        return ids

    @translated()
    def page_boundary(self, before: ObjectId | None, count: int) -> ObjectId | None:
        """The oldest of so many jobs, the newest of those before `before`; None if there are no older ones."""
        query = {"_id": {"$lt": before}} if before else {}
        older = self._jobs.find(query, {"_id": 1}).sort("_id", -1).skip(count - 1).limit(2).max_time_ms(_MAX_TIME_MS)
        ids = [job["_id"] for job in older]
        return ids[0] if len(ids) == 2 else None

    def _classes(self, query: Mapping[str, Any]) -> Document:
        """What lets a query for live jobs of any class use their index instead of passing over all that ended since."""
        if "class" in query or not _wanted(query) <= LIVE or not _wanted(query):
            return {}
        names: list[str] = []
        while len(names) <= _MAX_CLASSES:
            after = {"class": {"$gt": names[-1] if names else ""}, "status": LIVE_FILTER}
            first = next(iter(self._jobs.find(after, {"class": 1}).sort("class", 1).hint("live_list").limit(1)), None)
            if first is None:
                return {"class": {"$in": names}}
            names.append(first["class"])
        return {}

    @translated()
    def newest(self, query: Mapping[str, Any], limit: int, most_bytes: int) -> list[Document]:
        """The newest jobs that match, with their data; fewer if those take more than about so many bytes.

        Of a queue all live jobs are found, and those ended ones that are among the newest MOST_SEARCHED jobs.
        """
        fields: Document = dict.fromkeys(_TOLD, 1) | {"bytes": {"$bsonSize": {"data": "$data"}}}
        found: list[Document] = []
        parts = [self._found(part, limit, fields) for part in self._bounded(query)]
        for job in islice(merge(*parts, key=_id, reverse=True), limit):
            if found and found[-1]["_id"] == job["_id"]:
                continue  # it ended while we read
            most_bytes -= job.pop("bytes")
            found.append(job)
            if most_bytes <= 0:
                break
        return found

    def _bounded(self, query: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The query as parts that do not have to look at everything that has ever ended."""
        wanted = _wanted(query) or frozenset(Status)
        if "queue" not in query or "tags" in query or wanted <= LIVE:
            return [query]
        many = self._jobs.estimated_document_count() > MOST_SEARCHED
        edge = self.page_boundary(None, MOST_SEARCHED) if many else None
        if edge is None:
            return [query]
        live, ended = ({"$in": sorted(map(int, part))} for part in (wanted & LIVE, wanted - LIVE))
        parts: list[Mapping[str, Any]] = [{**query, "status": ended, "_id": {"$gte": edge}}]
        return [{**query, "status": live}, *parts] if wanted & LIVE else parts

    @translated()
    def recent_ids(self) -> list[ObjectId]:
        """The ids of the newest jobs, up to CAP."""
        return [job["_id"] for job in self.recent({}, CAP, {"_id": 1, "created": 1})]

    @translated()
    def progress_of(self, ids: Sequence[ObjectId]) -> dict[ObjectId, Document]:
        """How far these jobs are, without their data and results; one that is not stored is left out."""
        return {job["_id"]: job for job in self._jobs.find({"_id": {"$in": list(ids)}}, _BULKY)}
