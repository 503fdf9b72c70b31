"""Finds and ends jobs by kinship: the children and the parent of a job, and the runs of its series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Transition
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempt_updates import fail_parent_update
from taskscheduler.store.fence import from_statuses
from taskscheduler.store.jobs import LIVE_FILTER
from taskscheduler.store.lenient_reads import decoded, undecoded


class FamilyStore:
    """The jobs that end because another one of their family or series ended."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._collection: Collection[Document] = database[options.job_store]
        self._lease = float(options.orphaned_timeout)

    def children(self, parent: ObjectId) -> list[ObjectId]:
        """Returns the live children of a job."""
        return self._live({"parent": parent})

    def fail_parent(self, job_id: ObjectId, error: Mapping[str, Any]) -> Document | None:
        """Fails a live job because a child failed; returns the document before, or None if it had ended already.

        A service never fails this way: it ends only when somebody stops it.
        """
        jobs = undecoded(self._collection)
        parent = decoded(jobs.find_one({"_id": job_id}))
        if parent is None or "service" in parent:
            return None
        query = {"_id": job_id, "status": from_statuses(Transition.FAIL_PARENT)}
        return decoded(jobs.find_one_and_update(query, fail_parent_update(parent, error, self._lease)))

    def series(self, series: ObjectId) -> list[ObjectId]:
        """Returns the live runs of a series."""
        return self._live({"series": series})

    def end_series(self, series: ObjectId) -> list[ObjectId]:
        """Cancels planned runs of a series before they are added; returns the ended runs that planned them."""
        query = {"series": series, "next": {"$exists": True}, "next.canceled": {"$exists": False}}
        ended = [entry["_id"] for entry in self._collection.find(query, {"_id": 1})]
        for job_id in ended:
            self._collection.update_one({"_id": job_id, **query}, {"$set": {"next.canceled": True}})
        return ended

    def _live(self, query: Document) -> list[ObjectId]:
        found = self._collection.find({**query, "status": LIVE_FILTER}, {"_id": 1})
        return [entry["_id"] for entry in found]
