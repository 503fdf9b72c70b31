"""Services as MongoDB knows them: one job document each, found by its unique name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.database import Database

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status, Transition
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempt_updates import requeue_update
from taskscheduler.store.fence import Fence, from_statuses


class ServiceStore:
    """Finds services, arms them again, and notes when the process of one that was cancelled is gone.

    A job that was cancelled while it ran keeps `claim` and `boot`. As long as a service has them, its process may
    still be there; whoever starts it again waits for that.
    """

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._collection = database[options.job_store]

    def get(self, name: str) -> Document | None:
        """The service of this name, whatever it does."""
        return self._collection.find_one({"service.name": name})

    def all(self) -> list[Document]:
        """All services by their names, also those that have ended."""
        return list(self._collection.find({"service.name": {"$exists": True}}).sort("service.name", 1).hint("service"))

    def rearm(self, job: Mapping[str, Any], definition: Mapping[str, Any] | None = None) -> Document | None:
        """Let an ended service wait for a worker, perhaps as something else; None if it has changed since `job`.

        What is None in the `definition` is not stored, but for the data.
        """
        query = {
            "_id": job["_id"],
            "status": from_statuses(Transition.REQUEUE),
            "ended": job["ended"],
            "attempt": job["attempt"],
            "pending": {"$nin": ["next", "family"]},
        }
        fresh: Document = {"service.failures": {"$literal": 0}}
        if definition is not None:
            fresh = {
                name: "$$REMOVE" if value is None and name != "data" else {"$literal": value}
                for name, value in definition.items()
            }
        update = [*requeue_update(job), {"$set": fresh}]
        return self._collection.find_one_and_update(query, update, return_document=ReturnDocument.AFTER)

    def gone(self, fence: Fence) -> None:
        """Nothing is left of the process of an attempt that was cancelled."""
        query = {**fence.filter(), "status": int(Status.CANCELED)}
        self._collection.update_one(query, {"$unset": {"claim": "", "boot": ""}})

    def release_unstarted(self, claim: str, boot: ObjectId) -> None:
        """Services that were cancelled before the node which had claimed them could know that it had."""
        query = {"service.name": {"$exists": True}, "claim": claim, "boot": boot, "status": int(Status.CANCELED)}
        self._collection.update_many(query, {"$unset": {"claim": "", "boot": ""}}, hint="service")

    def is_gone(self, job_id: ObjectId) -> bool:
        """Whether nothing is known to be left of the last attempt."""
        found = self._collection.find_one({"_id": job_id}, {"claim": 1})
        return found is None or "claim" not in found
