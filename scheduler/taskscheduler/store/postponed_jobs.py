"""Finds and promotes postponed jobs that are due, by the clock of the server."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status, Transition, target
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.solo import FAR
from taskscheduler.store.fence import from_statuses

_DUE_BATCH = 1000


class PostponedJobs:
    """The postponed jobs."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self.collection: Collection[Document] = database[options.job_store]

    def find(self) -> list[ObjectId]:
        """Returns postponed jobs that are due by the server's clock."""
        query = {"status": int(Status.POSTPONED), "$expr": {"$lte": ["$at", "$$NOW"]}}
        return [job["_id"] for job in self.collection.find(query, {"_id": 1}).hint("due").limit(_DUE_BATCH)]

    def promote(self, ids: Sequence[ObjectId]) -> int:
        """Promotes due jobs to WAITING and returns how many; solo jobs are left to `SoloLocks`."""
        query = {
            "_id": {"$in": list(ids)},
            "status": from_statuses(Transition.PROMOTE),
            "solo": {"$exists": False},
            "$expr": {"$lte": ["$at", "$$NOW"]},
        }
        change = {"$set": {"status": int(target(Transition.PROMOTE))}}
        return self.collection.update_many(query, change).modified_count

    def seconds_until_next(self) -> float | None:
        """Returns the seconds until the next postponed job is due by the server's clock; None if there is none."""
        stages: list[Document] = [
            {"$match": {"status": int(Status.POSTPONED), "at": {"$lt": FAR, "$not": {"$type": "array"}}}},
            {"$sort": {"at": 1}},
            {"$limit": 1},
            {"$project": {"left": {"$divide": [{"$subtract": ["$at", "$$NOW"]}, 1000]}}},
        ]
        found = next(iter(self.collection.aggregate(stages, hint="due")), None)
        return None if found is None else float(found["left"])
