"""Pages of jobs by their ids from the newest: no page reads more than a fixed number of jobs, whatever is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.document import Document
from taskscheduler.model.filters.expression import all_of
from taskscheduler.model.lifecycle import LIVE, UNSUCCESSFUL, Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.client import durable
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.job_lists import CAP
from taskscheduler.store.lenient_reads import each, undecoded
from taskscheduler.store.live_classes import MOST_CLASSES, live_classes
from taskscheduler.store.on_demand.making import OnDemandIndexes
from taskscheduler.store.selections.search import wanted

MOST_SEARCHED = 5000  #: jobs that one page reads; 30 ms, and 60 ms if these are scattered

_FIRST_LOOK = 1100  #: jobs; the server reads all that it may before it judges the first one

_MAX_TIME_MS = 10_000

_NEWEST = ObjectId(b"\xff" * 12)

#: fields whose index has the jobs of one value by their ids
_BY_ID = {"tags": "tags", "schedule": "schedule", "flow": "flow"}

#: fields whose index has the jobs of one value in another order; mostly a few
_FEW = {"parent": "parent", "series": "series", "fingerprint": "failures", "service.name": "service", "_id": "_id_"}

_DATA: Mapping[str, Any] = dict.fromkeys(("data", "result", "steps", "signals", "attempts"), 0)


class Way(NamedTuple):
    """How the jobs of a query are found: by which index, and what the index has to be told."""

    hint: str  #: the name of the index
    also: Mapping[str, Any]  #: what the jobs in the index have in common
    is_ordered: bool  #: whether it has them by their ids; else they are sorted, if they are a few


class Page(NamedTuple):
    """A page, and the id behind which the next one begins; None: there are no more."""

    jobs: list[Document]
    next: ObjectId | None


class Count(NamedTuple):
    """How many jobs were found; there may be more if not all were searched, or if it is more than CAP."""

    found: int
    is_complete: bool


def ways(query: Mapping[str, Any], classes: Sequence[str] | None, present: Mapping[str, Any]) -> list[Way]:
    """Returns the ways to the jobs of a query, the best one first; the last one serves any query.

    `classes`: those that have live jobs, if they are known; `present`: the indexes that are there.
    """
    statuses = wanted(query)
    found = [
        *(Way(index, {}, True) for field, index in _BY_ID.items() if _is_value(query.get(field))),
        *(Way(index, {}, False) for field, index in _FEW.items() if _is_value(query.get(field))),
    ]
    if statuses and statuses <= {Status.PROCESSING}:
        found.append(Way("held", {}, False))
    if statuses and statuses <= {Status.WAITING} and isinstance(query.get("queue"), str):
        found.append(Way("claim", {}, False))
    if statuses and statuses <= UNSUCCESSFUL:
        found.append(Way("unsuccessful", {}, True))
    if statuses and statuses <= LIVE and _is_value(query.get("class")):
        found.append(Way("live_list", {}, True))
    elif statuses and statuses <= LIVE and classes is not None and "class" not in query:
        found.append(Way("live_list", {"class": {"$in": list(classes)}}, True))
    return [*(way for way in found if way.hint in present), Way("_id_", {}, True)]


def _is_value(asked: Any) -> bool:
    """Whether a condition asks for one value, or a few, so that an index leads to them."""
    if isinstance(asked, Mapping):
        several = asked.get("$in")
        return set(asked) == {"$in"} and isinstance(several, list) and 0 < len(several) <= 10
    return isinstance(asked, str | ObjectId)


class JobPages:
    """Pages of jobs. Changes nothing; raises DatabaseError and its subclasses."""

    def __init__(
        self, database: Database[Document], options: SchedulerOptions, on_demand: OnDemandIndexes | None = None
    ) -> None:
        self._jobs: Collection[Any] = undecoded(durable(database)[options.job_store])
        self._on_demand = on_demand or OnDemandIndexes(durable(database), options)

    @translated()
    def page(self, query: Mapping[str, Any], before: ObjectId | None, limit: int) -> Page:
        """Returns the newest jobs that match among those older than `before`, without data and results.

        It may have fewer than `limit` jobs, or none, and still a next page: then it has searched as many as a page may.
        """
        if self._on_demand.exclude(query):
            return Page([], None)
        asked = all_of([dict(query), {"_id": {"$lt": before or _NEWEST}}])
        way = self._way(asked)
        few: list[Document] = [] if way.is_ordered else [{"$sort": {"_id": -1}}]
        judged = [{"$match": asked}, *few, {"$limit": limit + 1}, {"$project": _DATA}]
        jobs: list[Document] = []
        for most in (_FIRST_LOOK, MOST_SEARCHED) if way.is_ordered else (MOST_SEARCHED,):
            jobs = self._found([*_searched(asked, way, most), *judged], way)
            if len(jobs) > limit:
                return Page(jobs[:limit], jobs[limit - 1]["_id"])
        return Page(jobs, self._edge(asked, way))

    def newest(self, query: Mapping[str, Any], limit: int) -> list[Document]:
        """Returns the newest jobs that match, without data and results; it searches page after page to the last job."""
        found: list[Document] = []
        before: ObjectId | None = None
        while len(found) < limit:
            page = self.page(query, before, limit - len(found))
            found += page.jobs
            if (before := page.next) is None:
                break
        return found

    @translated()
    def count(self, query: Mapping[str, Any]) -> Count:
        """Counts the jobs that match, among as many as a page searches; up to CAP + 1."""
        if self._on_demand.exclude(query):
            return Count(0, True)
        asked = all_of([dict(query), {"_id": {"$lt": _NEWEST}}])
        way = self._way(asked)
        stages = [*_searched(asked, way, MOST_SEARCHED), {"$match": asked}, {"$limit": CAP + 1}, {"$count": "found"}]
        found = self._found(stages, way)
        number = int(found[0]["found"]) if found else 0
        return Count(number, number <= CAP and self._edge(asked, way) is None)

    def _found(self, stages: Sequence[Document], way: Way) -> list[Document]:
        return list(each(self._jobs.aggregate(list(stages), hint=way.hint, maxTimeMS=_MAX_TIME_MS)))

    def _way(self, query: Document) -> Way:
        found = ways(query, self._live_classes(query), self._jobs.index_information())
        return next(way for way in found if way.is_ordered or not self._is_more(query, way))

    def _live_classes(self, query: Mapping[str, Any]) -> list[str] | None:
        """Returns the classes of live jobs; None if the query does not need them, or there are too many."""
        statuses = wanted(query)
        if not statuses or not statuses <= LIVE or "class" in query:
            return None
        names = live_classes(self._jobs)
        return None if names is None or len(names) > MOST_CLASSES else names

    def _edge(self, query: Document, way: Way) -> ObjectId | None:
        """Returns the id of the last job that a page searches, as the index has it; None if it searches all."""
        if not way.is_ordered:
            return None
        keys = self._jobs.find(_leading(query, way), {"_id": 1}).hint(way.hint).sort("_id", -1)
        last = next(iter(each(keys.skip(MOST_SEARCHED - 1).limit(1).max_time_ms(_MAX_TIME_MS))), None)
        return None if last is None else last["_id"]

    def _is_more(self, query: Document, way: Way) -> bool:
        """Returns whether an index has more jobs for a query than can be sorted."""
        asked = _leading(query, way)
        bounds: Document = {"limit": MOST_SEARCHED + 1, "hint": way.hint, "maxTimeMS": _MAX_TIME_MS}
        return bool(self._jobs.count_documents(asked, **bounds) > MOST_SEARCHED)


def _searched(query: Document, way: Way, most: int) -> list[Document]:
    """Returns the stages that read jobs in the order of an index, so many at most."""
    ordered = [{"$sort": {"_id": -1}}] if way.is_ordered else []
    return [{"$match": _leading(query, way)}, *ordered, {"$limit": most}]


def _leading(query: Document, way: Way) -> Document:
    """Returns the part of a query that an index decides."""
    of_index = {
        **{index: {field, "_id"} for field, index in _BY_ID.items()},
        **{index: {field} for field, index in _FEW.items()},
        "held": {"status"},
        "claim": {"status", "queue"},
        "unsuccessful": {"status", "_id"},
        "live_list": {"class", "_id"},
        "_id_": {"_id"},
    }[way.hint]
    live = {"status": {"$lte": int(Status.PROCESSING)}} if way.hint == "live_list" else {}
    return {**{name: value for name, value in query.items() if name in of_index}, **live, **way.also}
