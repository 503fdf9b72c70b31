"""Puts back, cancels and deletes many jobs in one write each, under the same conditions as single ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from taskscheduler.model.changes import Requeue
from taskscheduler.model.control.keys import first_list
from taskscheduler.model.document import Document
from taskscheduler.model.flows.membership import comes_after
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempts.bad_ends import cancel_update
from taskscheduler.store.indexes.definitions import needed_after
from taskscheduler.store.jobs import ENDED_FILTER, QUEUED_FILTER, requeue_filter
from taskscheduler.store.lenient_reads import ONLY_ID, read_ids
from taskscheduler.store.on_demand.making import OnDemandIndexes
from taskscheduler.store.requeue_update import requeue_update

_DUPLICATE_KEY = 11000


class Written(NamedTuple):
    """What became of a batch."""

    changed: int  #: how many jobs were changed
    ids: list[Any]  #: theirs, and perhaps those of jobs that somebody else has changed alike just then
    refused: int = 0  #: how many were not, since another job holds their key


def requeue_kind(job: Mapping[str, Any], again: Requeue) -> tuple[Any, ...]:
    """Returns what jobs must have in common to be put back in one write, if `again` has the same fields for them."""
    in_flow = "joins" in job, comes_after(job) is not None
    return "once_key" in job, first_list(job), "sequence" in job, "series" in job, again.at is not None, in_flow


class BulkChanges:
    """Changes jobs in batches. A batch whose answer was lost may be written or not; each may be repeated."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, on_demand: OnDemandIndexes) -> None:
        self._jobs: Collection[Document] = database[options.job_store]
        self._on_demand = on_demand
        self._lease = float(options.orphaned_timeout)

    def requeue_alike(self, jobs: Sequence[tuple[Mapping[str, Any], Requeue]]) -> Written:
        """Puts ended jobs back in the queue whose effects are delivered; they are alike: `requeue_kind`.

        None of them may have a key of add_job_once, since one that another job holds would end the write.
        """
        ids, dates = [job["_id"] for job, _ in jobs], [again.at for _, again in jobs]
        place = {"$indexOfArray": [{"$literal": ids}, "$_id"]}
        job, again = jobs[0]
        self._on_demand.make(needed_after(again.fields))
        update = requeue_update(job, again, at={"$arrayElemAt": [{"$literal": dates}, place]})
        query = {**requeue_filter(None), "_id": {"$in": ids}}
        changed = self._jobs.update_many(query, update).modified_count
        return self._written(changed, ids, QUEUED_FILTER)

    def requeue_each(self, jobs: Sequence[tuple[Mapping[str, Any], Requeue]]) -> Written:
        """Puts ended jobs back in the queue whose effects are delivered, unless another job holds their key."""
        for _, again in jobs:
            self._on_demand.make(needed_after(again.fields))
        updates = [UpdateOne(requeue_filter(job["_id"]), requeue_update(job, again)) for job, again in jobs]
        ids, refused = [job["_id"] for job, _ in jobs], set[Any]()
        try:
            changed = self._jobs.bulk_write(updates, ordered=False).modified_count
        except BulkWriteError as error:
            refused = {ids[entry["index"]] for entry in _duplicates(error)}
            changed = error.details["nModified"]
        left = [job_id for job_id in ids if job_id not in refused]
        return self._written(changed, left, QUEUED_FILTER)._replace(refused=len(refused))

    def cancel_queued(self, ids: Sequence[Any], reason: str | None) -> Written:
        """Cancels jobs that wait or are postponed; their effects are left to be delivered."""
        query = {"_id": {"$in": list(ids)}, "status": QUEUED_FILTER}
        changed = self._jobs.update_many(query, cancel_update(self._lease, reason)).modified_count
        return self._written(changed, list(ids), int(Status.CANCELED))

    def _written(self, changed: int, ids: list[Any], after: Any) -> Written:
        """Returns what was written; `after`: the status that it led to."""
        if changed < len(ids):  # somebody else was faster
            query = {"_id": {"$in": ids}, "status": after}
            ids = read_ids(self._jobs, lambda jobs: jobs.find(query, ONLY_ID))
        return Written(changed, ids)

    def delete_ended(self, ids: Sequence[Any]) -> int:
        """Deletes ended jobs that are neither services nor hold a place, and whose effects are delivered."""
        query = {
            "_id": {"$in": list(ids)},
            "status": ENDED_FILTER,
            "pending": {"$nin": ["next", "family", "flow"]},
            "service": {"$exists": False},
            "gate": {"$exists": False},
        }
        return self._jobs.delete_many(query).deleted_count


def _duplicates(error: BulkWriteError) -> list[Mapping[str, Any]]:
    """Returns the writes that a unique index has refused; raises the error if there are others."""
    entries: list[Mapping[str, Any]] = error.details.get("writeErrors", [])
    if error.details.get("writeConcernErrors") or any(entry.get("code") != _DUPLICATE_KEY for entry in entries):
        raise error
    return entries
