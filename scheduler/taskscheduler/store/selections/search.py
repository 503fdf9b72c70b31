"""Finds jobs by any query, if indexes serve it: splits it by status, and asks the server how it would search."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from bson import MinKey, ObjectId
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import LIVE, UNSUCCESSFUL, Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.lenient_reads import ONLY_ID, each, read, read_command, read_ids, undecoded
from taskscheduler.store.on_demand.making import OnDemandIndexes

#: statuses that have an index in common, or none
_GROUPS = (LIVE, UNSUCCESSFUL, frozenset({Status.DONE}))

_SCAN = "COLLSCAN"

PART = 100_000  #: jobs that one answer may read without an index


class JobSearch:
    """Finds jobs by queries of users. Changes nothing."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, on_demand: OnDemandIndexes) -> None:
        self._jobs: Collection[Document] = database[options.job_store]
        self._on_demand = on_demand

    def served(self, query: Mapping[str, Any]) -> list[Document] | None:
        """Returns queries that together find the same jobs, each by an index; None if all jobs would be read."""
        if self._on_demand.exclude(query):
            return [{**query, "_id": {"$in": []}}]
        if self._is_served(query):
            return [dict(query)]
        parts = by_status(query)
        return parts if all(map(self._is_served, parts)) else None

    def in_parts(self, query: Mapping[str, Any]) -> list[Document]:
        """Splits a query that no index serves by ids, so that the answer to no part takes long, however many jobs are.

        Jobs whose id is no ObjectId are left out if there are many jobs.
        """
        edges = [None, *self._edges(), None]
        if len(edges) == 2:
            return [dict(query)]
        spans = [{"$gt": after, "$lte": last} for after, last in pairwise(edges)]
        within = [{"_id": {name: edge for name, edge in span.items() if edge is not None}} for span in spans]
        return [{**query, **span} if "_id" not in query else {"$and": [dict(query), span]} for span in within]

    def _edges(self) -> Iterator[ObjectId]:
        """Yields the id of each job that ends a part."""
        last = ObjectId(b"\0" * 12)
        while True:
            query = {"_id": {"$gt": last}}
            found = read_ids(
                self._jobs,
                lambda jobs: jobs.find(query, ONLY_ID).sort("_id", 1).skip(PART - 1).limit(1),  # noqa: B023
            )
            if not found:
                return
            last = found[0]
            yield last

    def _is_served(self, query: Mapping[str, Any]) -> bool:
        command = {"find": self._jobs.name, "filter": query}
        plan = read_command(self._jobs.database, {"explain": command, "verbosity": "queryPlanner"})
        return not _scans(plan["queryPlanner"]["winningPlan"])

    def ids(self, queries: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
        """Yields the ids of all jobs that match one of these queries, in no order, some perhaps twice."""
        for query in queries:
            for job in each(undecoded(self._jobs).find(query, ONLY_ID)):
                yield job["_id"]

    def documents(self, queries: Sequence[Mapping[str, Any]]) -> Iterator[Document]:
        """Yields all jobs that match one of these queries, read as you iterate."""
        for query in queries:
            yield from each(undecoded(self._jobs).find(query))

    def count(self, queries: Sequence[Mapping[str, Any]]) -> int:
        """Counts the jobs that match one of these queries."""
        return sum(self._jobs.count_documents(query) for query in queries)

    def of(self, ids: Sequence[Any], query: Mapping[str, Any]) -> list[Document]:
        """Returns those of these jobs that match, without data, result and attempts."""
        asked = {"$and": [{"_id": {"$in": list(ids)}}, query]}
        fields = dict.fromkeys(("data", "result", "attempts"), 0)
        return read(self._jobs, lambda jobs: jobs.find(asked, fields))


def narrowed(query: Mapping[str, Any], statuses: frozenset[Status]) -> Document:
    """Returns the query for those jobs that are in one of these statuses."""
    chosen = wanted(query)
    among = {"$in": sorted(map(int, statuses if chosen is None else chosen & statuses))}
    if chosen is None and "status" in query:
        return {"$and": [dict(query), {"status": among}]}
    return {**query, "status": among}


def wanted(query: Mapping[str, Any]) -> frozenset[Status] | None:
    """Returns the statuses that a query names; None if it names none, or in another way."""
    status = query.get("status")
    named = status.get("$in") if isinstance(status, Mapping) and set(status) == {"$in"} else [status]
    if isinstance(named, list | tuple) and all(isinstance(one, int) and not isinstance(one, bool) for one in named):
        return frozenset(map(Status, named))
    return None


def by_status(query: Mapping[str, Any]) -> list[Document]:
    """Splits a query into one for each group of statuses that have an index in common."""
    chosen = wanted(query)
    if chosen is None and "status" in query:
        return [dict(query)]
    parts = [narrowed(query, group) for group in _GROUPS if chosen is None or chosen & group]
    return [{**_named(part), **part} if (wanted(part) or LIVE) <= LIVE else part for part in parts]


def _named(query: Mapping[str, Any]) -> Document:
    """Returns what all live jobs that match have in common, so that the planner takes an index of live jobs."""
    has_turn = {"turn": {"$exists": True}} if isinstance(query.get("sequence"), str) else {}
    return {"class": {"$gte": MinKey()}, **has_turn}


def _scans(plan: Any) -> bool:
    if isinstance(plan, Mapping):
        return plan.get("stage") == _SCAN or any(map(_scans, plan.values()))
    return isinstance(plan, list) and any(map(_scans, plan))
