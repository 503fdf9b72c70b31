"""Promotes postponed jobs that are due, and ends queued ones that are too late, by the clock of the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.control.keys import CONTROL_FIELDS, FAR
from taskscheduler.model.document import Document
from taskscheduler.model.failures import is_fingerprint
from taskscheduler.model.lenient import as_stored
from taskscheduler.model.lifecycle import Status, Transition, target
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempts.bad_ends import end_update
from taskscheduler.store.claims import PLACE
from taskscheduler.store.fence import BY_ID, from_statuses
from taskscheduler.store.lenient_reads import NO_DATE, ONLY_ID, change_one, read_ids, read_some, seconds_until
from taskscheduler.store.on_demand.making import OnDemandIndexes

_DUE_BATCH = 1000

_LATE_BATCH = 500

#: jobs that have to begin in time, as their index demands it
_LIMITED: Document = {"expires": {"$exists": True}, "status": {"$lt": int(Status.PROCESSING)}}

_BULKY: Document = {"data": 0, "steps": 0, "signals": 0, "attempts": {"$slice": -1}}


class PostponedJobs:
    """The postponed jobs."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self.collection: Collection[Document] = database[options.job_store]

    def find(self) -> list[ObjectId]:
        """Returns postponed jobs that are due by the server's clock."""
        query = {"status": int(Status.POSTPONED), "$expr": {"$lte": ["$at", "$$NOW"]}}
        return read_ids(self.collection, lambda jobs: jobs.find(query, ONLY_ID).hint("due").limit(_DUE_BATCH))

    def promote(self, ids: Sequence[ObjectId]) -> int:
        """Promotes due jobs to WAITING and returns how many; controlled jobs are left to `Admission`."""
        due: Document = {
            "_id": {"$in": list(ids)},
            "status": from_statuses(Transition.PROMOTE),
            **{name: {"$exists": False} for name in CONTROL_FIELDS},
            "$expr": {"$lte": ["$at", "$$NOW"]},
        }
        change = {"$set": {"status": int(target(Transition.PROMOTE))}}
        return self.collection.update_many(as_stored(due), change, hint=BY_ID).modified_count

    def never_due(self) -> list[Document]:
        """Returns `_id`, queue, priority and `at` of some postponed jobs whose `at` is no date."""
        queries = [{"status": int(Status.POSTPONED), "at": condition} for condition in NO_DATE]
        return read_some(self.collection, queries, PLACE, "due")

    def seconds_until_next(self) -> float | None:
        """Returns the seconds until the next postponed job is due by the server's clock; None if there is none."""
        stages: list[Document] = [
            {"$match": {"status": int(Status.POSTPONED), "at": {"$lt": FAR}}},
            {"$sort": {"at": 1}},
            {"$limit": 1},
            {"$project": {"_id": 0, "left": seconds_until("$at")}},  # a list of dates is due at once
        ]
        found = next(iter(self.collection.aggregate(stages, hint="due")), None)
        return None if found is None else float(found["left"])


class LateJobs:
    """The queued jobs that have to start by a certain time."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, on_demand: OnDemandIndexes) -> None:
        self.collection: Collection[Document] = database[options.job_store]
        self._on_demand = on_demand
        self._lease = float(options.orphaned_timeout)

    def seconds_until_next(self) -> float | None:
        """Returns the seconds until the time of the next such job is over; None if there is none."""
        stages: list[Document] = [
            {"$match": _LIMITED},
            {"$sort": {"expires": 1}},
            {"$limit": 1},
            {"$project": {"_id": 0, "left": seconds_until("$expires")}},
        ]
        found = self._on_demand.read("expires", lambda jobs: jobs.aggregate(stages, hint="expires"))
        return float(found[0]["left"]) if found else None

    def find(self) -> list[Document]:
        """Returns some of those whose time is over, without their data, and of their attempts the last."""
        query = {**_LIMITED, "$expr": {"$lte": ["$expires", "$$NOW"]}}
        return self._on_demand.read("expires", lambda jobs: jobs.find(query, _BULKY).hint("expires").limit(_LATE_BATCH))

    def end(self, job: Mapping[str, Any], move: Transition, error: Mapping[str, Any] | None) -> Document | None:
        """Ends a job that is as it was read; returns the document before, or None if it has changed since."""
        query = {"_id": job["_id"], "status": from_statuses(move), "attempt": job["attempt"], "expires": job["expires"]}
        update = end_update(job, move, error, self._lease, _last_fingerprint(job))
        return change_one(self.collection, query, update)


def _last_fingerprint(job: Mapping[str, Any]) -> str | None:
    """Returns the fingerprint of the failure of the last attempt, so that it is counted with others of its kind."""
    attempts = job.get("attempts")
    last = attempts[-1] if isinstance(attempts, list) and attempts else None
    fingerprint = last.get("fingerprint") if isinstance(last, Mapping) else None
    return fingerprint if is_fingerprint(fingerprint) else None
