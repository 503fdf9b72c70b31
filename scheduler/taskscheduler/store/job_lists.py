"""Lists jobs for tools: recent ones, the newest with their data, page by page. Every read but `every` is bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from typing import Any

from bson import MinKey, ObjectId
from pymongo.collection import Collection
from pymongo.cursor import Cursor
from pymongo.database import Database
from pymongo.errors import ExecutionTimeout

from taskscheduler.model.document import Document
from taskscheduler.model.job_ids import id_text
from taskscheduler.model.lenient import as_stored
from taskscheduler.model.lifecycle import LIVE, Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempts.ending import KEPT_ATTEMPTS
from taskscheduler.store.client import durable
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.jobs import LIVE_JOBS
from taskscheduler.store.lenient_reads import each, together, undecoded
from taskscheduler.store.live_classes import MOST_CLASSES, live_classes
from taskscheduler.store.on_demand.making import OnDemandIndexes
from taskscheduler.store.schema import retention_index

CAP = 10_000  #: the limit of every count

MOST_SEARCHED = 500_000  #: jobs in which ended jobs of a queue are searched, since no index has ended jobs by queue

_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)

_MAX_TIME_MS = 10_000

_FEW = 2500  #: live jobs that are looked through for those of one queue; 10 ms

_QUICK_MS = 200  #: for a search that may pass over millions of jobs where another way exists

#: lets the planner take the index of live jobs, whatever their class
_ANY_CLASS: Document = {"class": {"$gte": MinKey()}}

#: somebody else may have written more attempts
_BULKY = {"data": 0, "result": 0, "steps": 0, "signals": 0, "attempts": {"$slice": -KEPT_ATTEMPTS}}

_RUN = dict.fromkeys(("status", "class", "schedule", "scheduled_at", "created", "started", "ended"), 1)

_LIST_FIELDS = ("class", "queue", "status", "created", "data", "tags")

COUNT_INDEX = {
    Status.WAITING: "claim",
    Status.POSTPONED: "due",
    Status.PROCESSING: "held",
    Status.DONE: retention_index(Status.DONE),
}

_LIST_INDEX = {Status.PROCESSING: "held"}  #: else the search would pass over all waiting jobs

_OWN_INDEX = {Status.WAITING: "claim", Status.POSTPONED: "due"}  #: holds one status only, but not ordered by age


_SINCE_START = {
    "$cond": [
        {"$eq": [{"$type": "$started"}, "date"]},
        {"$max": [0, {"$divide": [{"$subtract": ["$$NOW", "$started"]}, 1000]}]},
        None,
    ]
}


class JobLists:
    """Bounded lists of jobs. Changes nothing; raises DatabaseError and its subclasses."""

    def __init__(
        self, database: Database[Document], options: SchedulerOptions, on_demand: OnDemandIndexes | None = None
    ) -> None:
        self._jobs: Collection[Any] = undecoded(durable(database)[options.job_store])
        self._on_demand = on_demand or OnDemandIndexes(durable(database), options)

    @translated()
    def has_live(self) -> bool:
        """Returns whether there are jobs that have not ended."""
        return self._jobs.count_documents(LIVE_JOBS, limit=1) > 0

    @translated()
    def recent(self, query: Mapping[str, Any], limit: int, fields: Mapping[str, Any] | None = None) -> list[Document]:
        """Returns the newest jobs that match, without data and result."""
        if self._on_demand.exclude(query):
            return []
        fields = fields or _BULKY
        found, own = self._found(query, limit, fields), _own_index(query)
        if own is None:
            return sorted(each(found), key=_created, reverse=True)
        try:
            return sorted(each(found.max_time_ms(_QUICK_MS)), key=_created, reverse=True)
        except ExecutionTimeout:  # too many newer jobs are in another status
            few = self._jobs.find(query, fields).hint(own).sort("_id", -1).allow_disk_use(True)
            return sorted(each(few.limit(limit).max_time_ms(_MAX_TIME_MS)), key=_created, reverse=True)

    def recent_of(self, queries: Sequence[Mapping[str, Any]], limit: int) -> list[Document]:
        """Returns the newest jobs that match one of these queries, without data and result."""
        found = {id_text(job["_id"]): job for query in queries for job in self.recent(query, limit)}
        return sorted(found.values(), key=_created, reverse=True)[:limit]

    def every_of(self, queries: Sequence[Mapping[str, Any]]) -> Iterator[Document]:
        """Yields all jobs that match one of these queries, as `every` does."""
        return merge(*map(self.every, queries), key=by_id, reverse=True)

    def every(self, query: Mapping[str, Any]) -> Iterator[Document]:
        """Yields all jobs that match, by id from the newest, without data and result; read as you iterate."""
        with translated():
            if self._on_demand.exclude(query):
                return
            yield from each(self._jobs.find(query, _BULKY).sort("_id", -1).allow_disk_use(True))

    def _found(self, query: Mapping[str, Any], limit: int, fields: Mapping[str, Any]) -> Cursor[Any]:
        if (ids := self._few(query)) is not None:
            chosen = self._jobs.find({**query, "_id": {"$in": ids}}, dict(fields)).hint("_id_")
            return chosen.sort("_id", -1).limit(limit).max_time_ms(_MAX_TIME_MS)
        index = _list_index(query)
        also = {} if index else self._classes(query)
        cursor = self._jobs.find({**query, **also}, dict(fields)).sort("_id", -1).limit(limit)
        return (cursor.hint(index) if index else cursor).max_time_ms(_MAX_TIME_MS)

    def _few(self, query: Mapping[str, Any]) -> list[ObjectId] | None:
        """Returns the live jobs of the queue in a query; None if it asks for ended jobs, too, or there are too many.

        Only waiting jobs have an index by queue; for other live jobs all are read.
        """
        wanted = _wanted(query)
        if not isinstance(query.get("queue"), str) or "_id" in query or not wanted or not wanted <= LIVE:
            return None
        ids: list[ObjectId] = []
        for status in sorted(wanted):
            own = {"queue": query["queue"]} if status is Status.WAITING else {}
            looked = self._jobs.find({"status": int(status), **own}, {"queue": 1}).hint(COUNT_INDEX[status])
            seen = list(each(looked.limit(_FEW + 1).max_time_ms(_MAX_TIME_MS)))
            if len(seen) > _FEW:
                return None
            ids += [job["_id"] for job in seen if job.get("queue") == query["queue"]]
        return ids

    @translated()
    def page_boundary(self, before: ObjectId | None, count: int) -> ObjectId | None:
        """Returns the oldest of the `count` newest jobs before `before`; None if there are no older ones."""
        query = {"_id": {"$lt": before}} if before else {}
        older = self._jobs.find(query, {"_id": 1}).sort("_id", -1).skip(count - 1).limit(2).max_time_ms(_MAX_TIME_MS)
        ids = [job["_id"] for job in each(older)]
        return ids[0] if len(ids) == 2 else None

    def _classes(self, query: Mapping[str, Any]) -> Document:
        """Returns a filter on classes that lets a query for live jobs use their index and skip ended ones."""
        if "class" in query or not _wanted(query) <= LIVE or not _wanted(query):
            return {}
        names = live_classes(self._jobs)
        if names is None:
            return _ANY_CLASS
        return {"class": {"$in": names}} if len(names) <= MOST_CLASSES else {}

    def newest(self, queries: Sequence[Mapping[str, Any]], limit: int) -> Iterator[Document]:
        """Yields the newest jobs that match one of these queries, with their data; each is decoded when it is yielded.

        With a queue, it finds all live jobs, and ended jobs among the newest MOST_SEARCHED.
        """
        with translated():
            fields, last = dict.fromkeys(_LIST_FIELDS, 1), None
            possible = [query for query in queries if not self._on_demand.exclude(query)]
            bounded = [part for query in possible for part in self._bounded(query)]
            parts = [each(self._found(part, limit, fields)) for part in bounded]
            for job in islice(merge(*parts, key=by_id, reverse=True), limit):
                if job["_id"] != last:  # else it ended while we read
                    last = job["_id"]
                    yield job

    def _bounded(self, query: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Splits a query so that no part searches all ended jobs."""
        wanted = _wanted(query) or frozenset(Status)
        if "queue" not in query or "tags" in query or wanted <= LIVE:
            return [query]
        many = self._jobs.estimated_document_count() > MOST_SEARCHED
        boundary = self.page_boundary(None, MOST_SEARCHED) if many else None
        if boundary is None:
            return [query]
        live, ended = ({"$in": sorted(map(int, part))} for part in (wanted & LIVE, wanted - LIVE))
        parts: list[Mapping[str, Any]] = [{**query, "status": ended, "_id": {"$gte": boundary}}]
        return [{**query, "status": live}, *parts] if wanted & LIVE else parts

    @translated()
    def recent_ids(self) -> list[ObjectId]:
        """Returns the ids of the newest jobs, up to CAP."""
        return [job["_id"] for job in self.recent({}, CAP, {"_id": 1, "created": 1})]

    @translated()
    def progress_of(self, ids: Sequence[Any]) -> list[Document]:
        """Returns these jobs without data and results, as far as they are stored."""
        return list(each(self._jobs.find(as_stored({"_id": {"$in": list(ids)}}), _BULKY)))

    @translated()
    def runs(self, schedules: Sequence[Any], limit: int) -> list[list[Document]]:
        """Returns the latest runs of each of these schedules by their times, the oldest first, with a few fields."""
        found: list[list[Document]] = [[] for _ in schedules]
        if self._on_demand.exclude({"schedule": {"$exists": True}}):
            return found
        named = [(number, name) for number, name in enumerate(schedules) if type(name) is str]
        for stages in together(self._jobs, [_latest_runs(number, name, limit) for number, name in named]):
            for run in each(self._jobs.aggregate(stages, maxTimeMS=_MAX_TIME_MS)):
                found[run.pop("part")].append(run)
        for number, odd in enumerate(schedules):  # not every value may stand in a pipeline
            if type(odd) is not str:
                query = {"schedule": {"$eq": odd}}
                found[number] += each(self._jobs.find(query, _RUN).hint("schedule").sort("_id", -1).limit(limit))
        return [runs[::-1] for runs in found]

    @translated()
    def running_on(self, boots: Sequence[ObjectId]) -> list[Document]:
        """Returns the jobs that these starts of nodes hold, the longest running first; of more than CAP only so many.

        Each with class, progress, worker and boot, `async`, whether it is `forced`, and its `seconds` since the start.
        """
        if not boots:
            return []
        fields = dict.fromkeys(("class", "progress", "worker", "boot", "async", "batch"), 1)
        stages: list[Document] = [
            {"$match": {"status": int(Status.PROCESSING), "boot": {"$in": list(boots)}}},
            {"$limit": CAP},
            {"$project": {**fields, "forced": "$options.force_spawn", "seconds": _SINCE_START}},
            {"$sort": {"seconds": -1}},
        ]
        return list(each(self._jobs.aggregate(stages, maxTimeMS=_MAX_TIME_MS, batchSize=CAP)))


def _latest_runs(number: int, schedule: str, limit: int) -> list[Document]:
    """Returns a search for the latest runs of a schedule, with this number as their `part`."""
    return [
        {"$match": {"schedule": schedule}},
        {"$sort": {"_id": -1}},
        {"$limit": limit},
        {"$project": {**_RUN, "part": {"$literal": number}}},
    ]


def _created(job: Mapping[str, Any]) -> datetime:
    created = job.get("created")
    if isinstance(created, datetime):
        return created
    return job["_id"].generation_time if isinstance(job["_id"], ObjectId) else _LONG_AGO


def _list_index(query: Mapping[str, Any]) -> str | None:
    """Returns the index of few jobs that has all that a query asks for; None if the server is to choose."""
    wanted = _wanted(query)
    if "service.name" in query:
        return "service"
    if "program" in query and wanted == {Status.PROCESSING}:
        return "tracked"
    return _LIST_INDEX.get(min(wanted)) if len(wanted) == 1 else None


def _own_index(query: Mapping[str, Any]) -> str | None:
    """Returns the index that holds exactly the live jobs of the one status in a query; None if there is none."""
    wanted = _wanted(query)
    if len(wanted) != 1 or "service.name" in query or "program" in query:
        return None
    return _OWN_INDEX.get(min(wanted))


def by_id(job: Mapping[str, Any]) -> bytes:
    """Returns what sorts jobs by their ids; an id that is none comes before all others."""
    return job["_id"].binary if isinstance(job["_id"], ObjectId) else b""


def _wanted(query: Mapping[str, Any]) -> frozenset[Status]:
    """Returns the statuses that a query names; empty if it names none."""
    wanted = query.get("status")
    return frozenset(Status(one) for one in wanted.get("$in", ())) if isinstance(wanted, Mapping) else frozenset()
