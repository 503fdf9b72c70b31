"""QueuePlaces: how many jobs are before one, in the order in which they are claimed or admitted; counts are capped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.control.keys import FAR
from taskscheduler.model.control.reasons import MOST_COUNTED
from taskscheduler.model.control.summary import CODES
from taskscheduler.model.document import Document
from taskscheduler.model.lenient import as_stored
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.lenient_reads import read
from taskscheduler.store.schema import IS_PARKED

_SHOWN = dict.fromkeys(("class", "started", "node", "boot", "status"), 1)

_FIRST_RUNNING = 1000


class QueuePlaces:
    """Counts jobs by the indexes that nodes search."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._jobs: Collection[Document] = database[options.job_store]

    def before(self, job: Mapping[str, Any]) -> int:
        """Returns how many jobs of its queue are claimed before a waiting job."""
        place = {"status": int(Status.WAITING), "queue": job["queue"]}
        return self._count(_before(place, job, "at"), "claim")

    def before_in_list(self, job: Mapping[str, Any]) -> int:
        """Returns how many jobs are admitted before a parked job of the same list."""
        return self._count(_before({"blocked": job["blocked"], **IS_PARKED}, job, "parked_at"), "blocked")

    def at_work(self) -> list[Document]:
        """Returns jobs that run: those of the first 1000 that nodes hold."""
        query = {"status": int(Status.PROCESSING), "boot": {"$exists": True}}
        return read(self._jobs, lambda jobs: jobs.find(query, _SHOWN).hint("held").limit(_FIRST_RUNNING))

    def waiting(self, queue: str) -> int:
        """Returns how many jobs of a queue wait for a slot."""
        return self._count([{"status": int(Status.WAITING), "queue": queue}], "claim")

    def parked(self) -> dict[str, int]:
        """Returns how many jobs are parked in the lists of controls, by their kinds; takes one look if none is."""
        some = {"blocked": {"$gt": ""}, "parked_at": {"$exists": True}}
        if not self._jobs.count_documents(some, hint="blocked", limit=1):
            return {}
        return {kind: self._parked(kind) for kind in CODES}

    def _parked(self, kind: str) -> int:
        names = {"$gte": f"{kind}:", "$lt": f"{kind};"}
        return self._count([{"blocked": names, **IS_PARKED}], "blocked")

    def running(self) -> int:
        """Returns how many jobs run on nodes."""
        return self._count([{"status": int(Status.PROCESSING), "boot": {"$exists": True}}], "held")

    def not_due(self) -> int:
        """Returns how many jobs wait for their time."""
        return self._count([{"status": int(Status.POSTPONED), "at": {"$lt": FAR}}], "due")

    def _count(self, queries: list[Document], index: str) -> int:
        counted = 0
        for query in queries:
            left = MOST_COUNTED + 1 - counted
            if left > 0:
                counted += self._jobs.count_documents(as_stored(query), hint=index, limit=left)
        return counted


def _before(place: Document, job: Mapping[str, Any], time: str) -> list[Document]:
    """Returns queries for what comes before a job: a higher priority, an earlier time, a smaller id."""
    same = {**place, "priority": job["priority"]}
    return [
        {**place, "priority": {"$gt": job["priority"]}},
        {**same, time: {"$lt": job[time]}},
        {**same, time: job[time], "_id": {"$lt": job["_id"]}},
    ]
