"""Finds the attempts that nodes hold, for those who check, renew or rescue them."""

from __future__ import annotations

from collections.abc import Sequence

import pymongo
from bson import ObjectId
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.control.keys import CONTROL_FIELDS
from taskscheduler.model.document import Document
from taskscheduler.model.flows.membership import MEMBER_FIELDS
from taskscheduler.model.lifecycle import LIVE, Status
from taskscheduler.model.losses import LEASE_ENDED, NODE_LOST
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.readable import has_fence
from taskscheduler.store.fence import BY_ID, FENCE_FIELDS, Fence
from taskscheduler.store.lenient_reads import read, read_ids

_PARTS = (
    *("lost", "retries", "options", "series", "seq", "hook", *CONTROL_FIELDS, "service", "started", "alive"),
    *("suspect", "signalled", "worker", "queue", "class", "expires", "first_started", *MEMBER_FIELDS),
)

_LIVE = [*map(int, LIVE)]

_NOTED_WITHIN = 1.0  #: seconds

_RESCUE_FIELDS = {**FENCE_FIELDS, **dict.fromkeys(_PARTS, 1)}


class LeaseStore:
    """The attempts that run under the lease of a node."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self.collection: Collection[Document] = database[options.job_store]

    def still_held(self, fences: Sequence[Fence]) -> set[ObjectId]:
        """Returns the jobs whose attempts we still hold; the others were cancelled, deleted or rescued.

        An attempt that has committed goes on although its job is DONE.
        """
        held = {"$in": [int(Status.PROCESSING), int(Status.DONE)]}
        query = {"_id": {"$in": [fence.job_id for fence in fences]}, "status": held}
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
        found = read_ids(self.collection, lambda jobs: jobs.aggregate(stages, hint="held"))
        return {boot for boot in found if isinstance(boot, ObjectId)}

    def note_alone(self, fences: Sequence[Fence], alone: bool) -> None:
        """Notes whether nothing but these suspects runs on their node, for whoever rescues them.

        Gives up after a second: the main loop of the node waits for it.
        """
        writes = []
        for fence in fences:
            noted = {"suspect.alone": fence.claim, "suspect.part": len(fences) > 1}
            change = {"$set": noted} if alone else {"$unset": dict.fromkeys(noted, "")}
            writes.append(UpdateOne({**fence.filter(), "suspect.of": {"$exists": True}}, change, hint=BY_ID))
        with pymongo.timeout(_NOTED_WITHIN):
            self.collection.bulk_write(writes, ordered=False)

    def absolve(self, fences: Sequence[Fence]) -> None:
        """Takes back what was charged for attempts whose node was taken for lost and is there. Safe to repeat.

        Jobs that have ended since stay as they ended.
        """
        writes = []
        for job_id, _, attempt in fences:
            entry = {"attempt": attempt, "error.type": NODE_LOST}
            live = {"_id": job_id, "status": {"$in": _LIVE}}
            charged = {**live, "lost": {"$gt": 0}, "attempts": {"$elemMatch": {**entry, "charged": True}}}
            writes.append(UpdateOne(charged, {"$inc": {"lost": -1}, "$unset": {"attempts.$.charged": ""}}))
            handed_back = {"attempts.$.error": None, "attempts.$.reason": LEASE_ENDED}
            why = {"$set": handed_back, "$unset": {"suspect": ""}}
            writes.append(UpdateOne({**live, "attempts": {"$elemMatch": entry}}, why))
        if writes:
            self.collection.bulk_write(writes)

    def jobs_of(self, boot: ObjectId) -> list[Document]:
        """Returns the jobs that one start of a node holds, with the fields that a rescue reads."""
        query: Document = {"boot": boot, "status": int(Status.PROCESSING)}
        return read(self.collection, lambda jobs: jobs.find(query, _RESCUE_FIELDS).hint("held"))
