"""Finds and starts services: one job document each, under its unique name."""

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
    """Finds services, starts ended ones again, and notes when the process of a cancelled one is gone.

    A job that was cancelled while it ran keeps `claim` and `boot`. While a service has them its process may still be
    there, so a new start waits until they are removed.
    """

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._collection = database[options.job_store]

    def get(self, name: str) -> Document | None:
        """Returns the service of this name, in any status."""
        return self._collection.find_one({"service.name": name})

    def all(self) -> list[Document]:
        """Returns all services in the order of their names, ended ones too."""
        return list(self._collection.find({"service.name": {"$exists": True}}).sort("service.name", 1).hint("service"))

    def rearm(self, job: Mapping[str, Any], definition: Mapping[str, Any] | None = None) -> Document | None:
        """Queues an ended service again, with a new `definition` if one is given; None if it has changed since `job`.

        A part of the definition that is None is removed from the document, except the data.
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
        """Notes that the process of a cancelled attempt is gone."""
        query = {**fence.filter(), "status": int(Status.CANCELED)}
        self._collection.update_one(query, {"$unset": {"claim": "", "boot": ""}})

    def release_unstarted(self, claim: str, boot: ObjectId) -> None:
        """Notes that services never started which were cancelled before their claim was read back."""
        query = {"service.name": {"$exists": True}, "claim": claim, "boot": boot, "status": int(Status.CANCELED)}
        self._collection.update_many(query, {"$unset": {"claim": "", "boot": ""}}, hint="service")

    def is_gone(self, job_id: ObjectId) -> bool:
        """Whether the process of the last attempt is gone, as far as is known."""
        found = self._collection.find_one({"_id": job_id}, {"claim": 1})
        return found is None or "claim" not in found
