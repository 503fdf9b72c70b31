"""Finds the attempts that nodes hold, for those who check, renew or rescue them."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.readable import has_fence
from taskscheduler.store.fence import FENCE_FIELDS, Fence
from taskscheduler.store.lenient_reads import read

_PARTS = ("lost", "retries", "options", "series", "seq", "hook", "solo", "service", "started", "alive")

_RESCUE_FIELDS = {**FENCE_FIELDS, **dict.fromkeys(_PARTS, 1)}


class LeaseStore:
    """The attempts that run under the lease of a node."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self.collection: Collection[Document] = database[options.job_store]

    def still_held(self, fences: Sequence[Fence]) -> set[ObjectId]:
        """Returns the jobs whose attempts we still hold; the others were cancelled, deleted or rescued."""
        query = {"_id": {"$in": [fence.job_id for fence in fences]}, "status": int(Status.PROCESSING)}
        jobs = read(self.collection, lambda jobs: jobs.find(query, FENCE_FIELDS))
        found = {job["_id"]: (job.get("claim"), job.get("attempt")) for job in jobs}
        return {fence.job_id for fence in fences if found.get(fence.job_id) == (fence.claim, fence.attempt)}

    def held_by(self, boot: ObjectId) -> list[Fence]:
        """Returns all attempts that the database counts as running on one start of a node.

        Without those that no fence can name: one that was claimed so is set aside by the claim.
        """
        query = {"boot": boot, "status": int(Status.PROCESSING)}
        found = read(self.collection, lambda jobs: jobs.find(query, FENCE_FIELDS).hint("held"))
        return [Fence(job["_id"], job["claim"], job["attempt"]) for job in found if has_fence(job)]

    def owners(self) -> set[ObjectId]:
        """Returns the starts of nodes that hold running jobs."""
        stages: list[Document] = [
            {"$match": {"status": int(Status.PROCESSING), "boot": {"$gt": ObjectId("0" * 24)}}},
            {"$group": {"_id": "$boot"}},
        ]
        found = [entry["_id"] for entry in self.collection.aggregate(stages, hint="held")]
        return {boot for boot in found if isinstance(boot, ObjectId)}

    def jobs_of(self, boot: ObjectId, queue: str | None = None) -> list[Document]:
        """Returns the jobs that one start of a node holds, of one queue or all, with the fields that a rescue reads."""
        query: Document = {"boot": boot, "status": int(Status.PROCESSING)}
        if queue is not None:
            query["queue"] = queue
        return read(self.collection, lambda jobs: jobs.find(query, _RESCUE_FIELDS).hint("held"))
