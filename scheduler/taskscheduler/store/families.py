"""Finds and ends jobs by kinship: the children and the parent of a job, and the runs of its series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.document import Document
from taskscheduler.model.lenient import as_stored
from taskscheduler.model.lifecycle import Status, Transition
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempts.bad_ends import fail_parent_update
from taskscheduler.store.fence import from_statuses
from taskscheduler.store.jobs import LIVE_FILTER
from taskscheduler.store.lenient_reads import ONLY_ID, change_one, read, read_one
from taskscheduler.store.on_demand.making import OnDemandIndexes

_DEEPEST = 10  #: generations below a job in which signs of life are looked for

_WIDEST = 1000  #: jobs of one generation

_PARENT, _SERIES = "parent", "series"  #: indexes

_IS_DATE = {"$eq": [{"$type": "$child_alive"}, "date"]}

_SINCE_SIGN = {"$cond": [_IS_DATE, {"$divide": [{"$subtract": ["$$NOW", "$child_alive"]}, 1000]}, None]}


#: an ended run that has planned the next one
_PLANNED = {"next": {"$type": "object", "$not": {"$type": "array"}}, "next.canceled": {"$exists": False}}


class FamilyStore:
    """The jobs that end because another one of their family or series ended."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, on_demand: OnDemandIndexes) -> None:
        self._collection: Collection[Document] = database[options.job_store]
        self._on_demand = on_demand
        self._lease = float(options.orphaned_timeout)

    def children(self, parent: ObjectId) -> list[ObjectId]:
        """Returns the live children of a job."""
        return self._ids(_PARENT, {"parent": parent, "status": LIVE_FILTER})

    def with_live_children(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        """Returns those of these jobs that have children which have not ended."""
        query = {"parent": {"$in": list(ids)}, "status": LIVE_FILTER}
        return {job["parent"] for job in self._found(_PARENT, query, {"parent": 1})}

    def since_sign_of_child(self, job_id: ObjectId) -> float | None:
        """Returns the seconds since a child of this job gave a sign of life; None: never.

        Children of running children count as well.
        """
        generation, found = [job_id], list[float]()
        for _ in range(_DEEPEST):
            found += self._since_signs(generation)
            generation = self._running_children(generation)
            if not generation:
                break
        return min(found, default=None)

    def _since_signs(self, ids: list[Any]) -> list[float]:
        stages: list[Document] = [{"$match": {"_id": {"$in": ids}}}, {"$project": {"since": _SINCE_SIGN}}]
        found = read(self._collection, lambda jobs: jobs.aggregate(stages))
        return [job["since"] for job in found if job["since"] is not None]

    def _running_children(self, ids: list[Any]) -> list[Any]:
        query = {"parent": {"$in": ids}, "status": int(Status.PROCESSING)}
        return self._ids(_PARENT, query, _WIDEST)

    def fail_parent(self, job_id: ObjectId, error: Mapping[str, Any]) -> Document | None:
        """Fails a live job because a child failed; returns the document before, or None if it had ended already.

        A service never fails this way: it ends only when somebody stops it.
        """
        parent = read_one(self._collection, lambda jobs: jobs.find_one({"_id": job_id}))
        if parent is None or "service" in parent:
            return None
        query = {"_id": job_id, "status": from_statuses(Transition.FAIL_PARENT)}
        return change_one(self._collection, query, fail_parent_update(parent, error, self._lease))

    def series(self, series: ObjectId) -> list[ObjectId]:
        """Returns the live runs of a series."""
        return self._ids(_SERIES, {"series": series, "status": LIVE_FILTER})

    def goes_on(self, series: ObjectId) -> bool:
        """Returns whether a series has a live or a planned run, by one look: a quick one has them by turns."""
        either = {"series": series, "$or": [{"status": LIVE_FILTER}, _PLANNED]}
        return bool(self._ids(_SERIES, either, 1))

    def end_series(self, series: ObjectId) -> list[ObjectId]:
        """Cancels planned runs of a series before they are added; returns the ended runs that planned them."""
        query = {"series": series, **_PLANNED}
        ended = self._ids(_SERIES, query)
        for job_id in ended:
            self._collection.update_one(as_stored({"_id": job_id, **query}), {"$set": {"next.canceled": True}})
        return ended

    def _ids(self, index: str, query: Document, most: int = 0) -> list[ObjectId]:
        return [job["_id"] for job in self._found(index, query, ONLY_ID, most)]

    def _found(self, index: str, query: Document, fields: Mapping[str, int], most: int = 0) -> list[Document]:
        """Returns the matching jobs, by this index: nobody has needed it before the first child or series."""
        return self._on_demand.read(index, lambda jobs: jobs.find(query, fields).hint(index).limit(most))
