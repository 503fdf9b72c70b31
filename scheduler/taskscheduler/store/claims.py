"""Finds jobs in claim order, claims them and reads back what a claim got.

A claim writes the node's `boot` id and a fresh `claim` id to each job and increments `attempt`. Every later write
filters on `_id`, PROCESSING, `claim` and `attempt`, so a node that has lost a job in the meantime changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, cast

from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status, Transition
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempt_updates import claim_update, release_update
from taskscheduler.store.claimed_job import READ_BACK, ClaimedJob, decode, decode_batch
from taskscheduler.store.fence import Fence, from_statuses
from taskscheduler.store.lenient_reads import RAW, read
from taskscheduler.store.schema import CLAIM_ORDER

_LARGEST_BATCH = 10_000  #: documents in one answer, if they are small: without it the first one holds 101

_CLAIMABLE = from_statuses(Transition.CLAIM)

_PLACE = {"queue": 1, "priority": 1, "at": 1}


class Cursor(NamedTuple):
    """A place in the claim order of one queue."""

    queue: str
    priority: int
    at: datetime
    job_id: ObjectId


class ClaimStore:
    """Jobs as a node sees them."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self.collection: Collection[Document] = database[options.job_store]
        majority = ReadConcern("majority")
        self._raw = database.with_options(codec_options=RAW, read_concern=majority)[options.job_store]

    def queues(self) -> list[str]:
        """Returns the queues that have waiting jobs."""
        names: list[str] = []
        while True:
            query: Document = {"status": int(Status.WAITING), "queue": {"$gt": names[-1] if names else ""}}
            found = self.collection.find(query, {"queue": 1}).sort("queue", 1).hint("claim").limit(1)
            name = next((entry["queue"] for entry in found), None)
            if name is None:
                return names
            names.append(name)

    def candidates(
        self, queues: Sequence[str], count: int, after: Cursor | None = None, but_async: bool = False
    ) -> list[Document]:
        """Returns `_id`, queue, priority and `at` of the next waiting jobs: highest priority first, then longest due.

        With `after`, only jobs of its queue behind that place, unless jobs of higher priority wait there. `but_async`
        passes over async jobs, for which the server reads every document.
        """
        waiting: Document = {"status": int(Status.WAITING)}
        if but_async:
            waiting["async"] = {"$exists": False}
        if after is None:
            return self._in_claim_order({**waiting, "queue": {"$in": list(queues)}}, count)
        waiting["queue"] = after.queue
        urgent = self._in_claim_order({**waiting, "priority": {"$gt": after.priority}}, count)
        if urgent:
            return urgent
        waiting["priority"] = after.priority
        same_time = self._in_claim_order({**waiting, "at": after.at, "_id": {"$gt": after.job_id}}, count)
        if len(same_time) == count:
            return same_time
        return same_time + self._in_claim_order({**waiting, "at": {"$gt": after.at}}, count - len(same_time))

    def _in_claim_order(self, query: Document, count: int) -> list[Document]:
        return read(
            self.collection, lambda jobs: jobs.find(query, _PLACE, batch_size=count).sort(CLAIM_ORDER).limit(count)
        )

    def forced(self, queues: Sequence[str] | None, count: int) -> list[ObjectId]:
        """Returns waiting jobs of the option force_spawn, which get a worker of their own although none is free."""
        query: Document = {"options.force_spawn": True, "status": int(Status.WAITING)}
        if queues is not None:
            query["queue"] = {"$in": list(queues)}
        return [entry["_id"] for entry in self.collection.find(query, {"_id": 1}).hint("force").limit(count)]

    def asynchronous(self, queues: Sequence[str] | None, count: int) -> list[ObjectId]:
        """Returns waiting async jobs in claim order."""
        query: Document = {"async": True, "status": int(Status.WAITING)}
        if queues is not None:
            query["queue"] = {"$in": list(queues)}
        found = self.collection.find(query, {"_id": 1}).sort([("priority", -1), ("at", 1)]).hint("async").limit(count)
        return [entry["_id"] for entry in found]

    def claim(self, ids: Sequence[ObjectId], claim: str, boot: ObjectId, node: str) -> int:
        """Claims these jobs and returns how many it got; `claimed` reads which. May take effect although it raises."""
        query = {"_id": {"$in": list(ids)}, "status": _CLAIMABLE}
        return self.collection.update_many(query, claim_update(claim, boot, node)).modified_count

    def claim_one(
        self, job_id: ObjectId, queues: Sequence[str], claim: str, boot: ObjectId, node: str
    ) -> list[ClaimedJob]:
        """Claims and reads one job in one operation, which the driver retries; empty if it is not waiting any more."""
        query: Document = {"_id": job_id, "status": _CLAIMABLE}
        if queues:
            query["queue"] = {"$in": list(queues)}
        job = self._raw.find_one_and_update(
            query, claim_update(claim, boot, node), projection=READ_BACK, return_document=ReturnDocument.AFTER
        )
        return [] if job is None else [decode(bytes(job.raw))]

    def claimed(self, claim: str, boot: ObjectId) -> list[ClaimedJob]:
        """Reads the jobs that a claim got, as a majority of the servers has them."""
        query = {"boot": boot, "claim": claim, "status": int(Status.PROCESSING)}
        batches = self._raw.find_raw_batches(query, READ_BACK, batch_size=_LARGEST_BATCH, hint="held")
        return [job for batch in batches for job in decode_batch(cast(bytes, batch))]

    def raw_document(self, job_id: ObjectId) -> RawBSONDocument | None:
        """Returns the whole document of one job, undecoded."""
        return self._raw.find_one({"_id": job_id})

    def release_claim(self, claim: str, boot: ObjectId) -> int:
        """Releases all jobs of a claim that could not be read back; none of them has started."""
        query = {"boot": boot, "claim": claim, "status": from_statuses(Transition.RELEASE)}
        return self.collection.update_many(query, release_update()).modified_count

    def release(self, fence: Fence) -> bool:
        """Releases one attempt that has not started; returns whether it was still held."""
        return self.collection.update_many(fence.filter(), release_update()).modified_count == 1
