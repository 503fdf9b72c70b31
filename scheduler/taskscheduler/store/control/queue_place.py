"""QueuePlaces: how many jobs are before one, in the order in which they are claimed or admitted; counts are capped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.control.keys import FAR
from taskscheduler.model.control.reasons import MOST_COUNTED, Code
from taskscheduler.model.control.summary import CODES
from taskscheduler.model.document import Document
from taskscheduler.model.lenient import as_stored
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.lenient_reads import read
from taskscheduler.store.schema import IS_PARKED, has_awaited

_SHOWN = {
    **dict.fromkeys(("class", "started", "node", "boot", "status", "worker", "async", "batch"), 1),
    "forced": "$options.force_spawn",
}

_FIRST_RUNNING = 1000

_RUNNING: Document = {"status": int(Status.PROCESSING), "boot": {"$exists": True}}

_NOT_DUE: Document = {"status": int(Status.POSTPONED), "at": {"$lt": FAR}}

_AWAITING: Document = {"status": int(Status.POSTPONED), "awaits.name": {"$gt": ""}}  #: a signal

_AWAITING_UNTIL: Document = {**_AWAITING, "awaits.until": {"$gte": datetime(1, 1, 1, tzinfo=UTC)}}

_UNTIL = "until"  #: stands for these among the counts: they are no jobs that are not due


class LiveJobs(NamedTuple):
    """How many live jobs there are, each number counted up to MOST_COUNTED + 1."""

    parked: Mapping[str, int]  #: in the lists of controls, by their kinds
    others: Mapping[Code, int]


class QueuePlaces:
    """Counts jobs by the indexes that nodes search."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._jobs: Collection[Document] = database[options.job_store]
        self._options = options
        self._some_await = False  #: whether jobs may wait for signals

    def before(self, job: Mapping[str, Any]) -> int:
        """Returns how many jobs of its queue are claimed before a waiting job."""
        place = {"status": int(Status.WAITING), "queue": job["queue"]}
        return self._count(_before(place, job, "at"), "claim")

    def before_in_list(self, job: Mapping[str, Any]) -> int:
        """Returns how many jobs are admitted before a parked job of the same list."""
        return self._count(_before({"blocked": job["blocked"], **IS_PARKED}, job, "parked_at"), "blocked")

    def at_work(self) -> list[Document]:
        """Returns jobs that run: those of the first 1000 that nodes hold."""
        return read(self._jobs, lambda jobs: jobs.find(_RUNNING, _SHOWN).hint("held").limit(_FIRST_RUNNING))

    def parked(self, kinds: Iterable[str] = tuple(CODES)) -> dict[str, int]:
        """Returns how many jobs are parked in the lists of controls of these kinds, each up to MOST_COUNTED + 1."""
        queries = {kind: _parked_in(kind) for kind in kinds}
        counts = self._counts(queries) if queries else Counter[str]()
        return {kind: counts[kind] for kind in queries}

    def live(self, queues: Mapping[Code, Sequence[str]]) -> LiveJobs:
        """Returns how many jobs are live, in one look; `queues`: those whose jobs wait for a slot, by their code."""
        parked = {kind: _parked_in(kind) for kind in CODES}
        waiting = {str(code): _waiting_in(names) for code, names in queues.items()}
        told = {Code.WAITING_FOR: _AWAITING, _UNTIL: _AWAITING_UNTIL} if self._may_await() else {}
        counts = self._counts({**parked, **waiting, Code.RUNNING: _RUNNING, Code.NOT_DUE: _NOT_DUE, **told})
        counts[Code.NOT_DUE] = max(0, counts[Code.NOT_DUE] - counts.pop(_UNTIL, 0))
        return LiveJobs({kind: counts.pop(kind, 0) for kind in CODES}, {Code(code): counts[code] for code in counts})

    def _may_await(self) -> bool:
        """Whether there is the index of jobs that wait for signals: without it nobody does, and counting is slow."""
        self._some_await = self._some_await or has_awaited(self._jobs.database, self._options)
        return self._some_await

    def _counts(self, queries: Mapping[str, Document]) -> Counter[str]:
        """Returns how many jobs match each of these queries, each of which only one index can answer."""
        first, *others = [_counting(name, query) for name, query in queries.items()]
        more = [{"$unionWith": {"coll": self._jobs.name, "pipeline": other}} for other in others]
        found = read(self._jobs, lambda jobs: jobs.aggregate([*first, *more]))
        return Counter({one["_id"]: int(one["jobs"]) for one in found})

    def _count(self, queries: list[Document], index: str) -> int:
        """Returns how many jobs match one of these queries."""
        query = {"$or": [as_stored(one) for one in queries]}
        return int(self._jobs.count_documents(query, hint=index, limit=MOST_COUNTED + 1))


def _counting(name: str, query: Document) -> list[Document]:
    """Returns the stages that count the jobs that match a query, under this name.

    Of those that are not due some are taken off again, so more are counted.
    """
    most = (MOST_COUNTED + 1) * (2 if name == Code.NOT_DUE else 1)
    count = {"$group": {"_id": {"$literal": str(name)}, "jobs": {"$sum": 1}}}
    return [{"$match": as_stored(query)}, {"$limit": most}, count]


def _parked_in(kind: str) -> Document:
    return {"blocked": {"$gte": f"{kind}:", "$lt": f"{kind};"}, **IS_PARKED}


def _waiting_in(queues: Sequence[str]) -> Document:
    return {"status": int(Status.WAITING), "queue": {"$in": list(queues)}}


def _before(place: Document, job: Mapping[str, Any], time: str) -> list[Document]:
    """Returns queries for what comes before a job: a higher priority, an earlier time, a smaller id."""
    same = {**place, "priority": job["priority"]}
    return [
        {**place, "priority": {"$gt": job["priority"]}},
        {**same, time: {"$lt": job[time]}},
        {**same, time: job[time], "_id": {"$lt": job["_id"]}},
    ]
