"""Finds jobs in claim order, claims them and reads back what a claim got.

A claim writes the node's `boot` id and a fresh `claim` id to each job and increments `attempt`. Every later write
filters on `_id`, PROCESSING, `claim` and `attempt`, so a node that has lost a job in the meantime changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple, cast

from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from taskscheduler.model.control.keys import CONTROL_FIELDS, PLACE_FIELDS, group_lists
from taskscheduler.model.document import Document
from taskscheduler.model.lenient import as_stored, smallest_name
from taskscheduler.model.lifecycle import QUEUED, Status, Transition
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempts.claiming import claim_update, release_update, take_turn_update
from taskscheduler.store.claimed_job import READ_BACK, ClaimedJob, decode, decode_batch
from taskscheduler.store.driver_errors import brief
from taskscheduler.store.fence import BY_ID, Fence, from_statuses
from taskscheduler.store.indexes.definitions import CLAIM_ORDER, ON_DEMAND
from taskscheduler.store.lenient_reads import NO_TEXT, ONLY_ID, RAW, read, read_some, readable_errors
from taskscheduler.store.on_demand.making import OnDemandIndexes
from taskscheduler.store.schema import ensure_indexes

logger = logging.getLogger(__name__)

_LARGEST_BATCH = 10_000  #: documents in one answer, if they are small: without it the first one holds 101

_CLAIMABLE: Document = {"status": from_statuses(Transition.CLAIM)}

#: jobs that wait for the turn of their group and nothing else: such a job needs no place
_IN_TURN: Document = {
    "status": from_statuses(Transition.TAKE_TURN),
    "blocked": group_lists(),
    **{name: {"$exists": False} for name in PLACE_FIELDS},
}

PLACE = {"queue": 1, "priority": 1, "at": 1}


class Cursor(NamedTuple):
    """A place in the claim order of one queue."""

    queue: str
    priority: int
    at: datetime
    job_id: ObjectId


@dataclass(frozen=True, slots=True)
class Scope:
    """Which of the waiting jobs may be claimed, as far as that is the same for all searches."""

    queues: Sequence[str] | None = None  #: None: all
    but_queues: Sequence[str] = ()  #: those that are paused
    unknown: Sequence[str] = ()  #: classes that the node does not know; the server reads every document for them
    but_classes: Sequence[str] = ()  #: that are paused; searches find them, so that the node parks them
    but_tags: Sequence[str] = ()  #: the same
    tells_batches: bool = False  #: whether searches tell which jobs run in batches

    @property
    def fields(self) -> Document:
        """What searches read beside the place in the queue: what tells jobs that are paused, and batches."""
        paused = {"class": 1, "tags": 1} if self.but_classes or self.but_tags else {}
        return {**paused, "class": 1, "batch": 1} if self.tells_batches else paused

    def admits(self, queue: object, name: object) -> bool:
        """Returns whether a job of this queue and class may be claimed, as far as these tell."""
        is_served = self.queues is None or queue in self.queues
        return is_served and queue not in self.but_queues and name not in (*self.unknown, *self.but_classes)

    def of(self, queues: Sequence[str]) -> Scope:
        """Returns the same for some queues."""
        return replace(self, queues=queues)


ALL_JOBS = Scope()


@dataclass(frozen=True, slots=True)
class Claimable:
    """Which jobs a claim may take, of those that it names."""

    query: Document
    may_be_parked: bool  #: then the claim takes them out of their lists, too

    def update(self, claim: str, boot: ObjectId, node: str) -> Document:
        """Returns the update that claims them."""
        return (take_turn_update if self.may_be_parked else claim_update)(claim, boot, node)


WAITING = Claimable(_CLAIMABLE, may_be_parked=False)

#: waiting jobs, and those that wait for the turn of their group
WAITING_OR_IN_TURN = Claimable(
    {"status": {"$in": sorted(map(int, QUEUED))}, "$or": [_CLAIMABLE, _IN_TURN]}, may_be_parked=True
)


def startable(scope: Scope) -> Claimable:
    """Returns the waiting jobs that nothing pauses, which no search has looked at."""
    return Claimable({**_startable(scope), **_CLAIMABLE}, may_be_parked=False)


def successors(lists: Iterable[str], scope: Scope, now: datetime) -> Claimable:
    """Returns the jobs in these lists of joins, which are complete, that wait for nothing else."""
    query = {
        **_startable(scope),
        "status": from_statuses(Transition.FOLLOW),
        "blocked": {"$in": list(lists)},
        "parked_at": {"$lte": now},
        **{name: {"$exists": False} for name in CONTROL_FIELDS},
    }
    return Claimable(query, may_be_parked=True)


class ClaimStore:
    """Jobs as a node sees them."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, on_demand: OnDemandIndexes) -> None:
        self.collection: Collection[Document] = database[options.job_store]
        self._on_demand = on_demand
        majority = ReadConcern("majority")
        self._raw = database.with_options(codec_options=RAW, read_concern=majority)[options.job_store]
        self._has_batches = False  #: whether the index for these was made, or tried

    def queues(self) -> list[str]:
        """Returns the queues that have waiting jobs."""
        names: list[str] = []
        while True:
            name = self._next_queue(names[-1] if names else "")
            if name is None or name in names:
                return names
            names.append(name)

    def _next_queue(self, after: str) -> str | None:
        query = as_stored({"status": int(Status.WAITING), "queue": {"$gt": after}})
        fields = {"queue": 1, "_id": 0}
        found = read(self.collection, lambda jobs: jobs.find(query, fields).sort("queue", 1).hint("claim").limit(1))
        return smallest_name(found[0]["queue"], after) if found else None

    def without_queue(self) -> list[Document]:
        """Returns `_id`, queue, priority and `at` of some waiting jobs that no search finds: their queue is no text."""
        queries = [{"status": int(Status.WAITING), "queue": condition} for condition in NO_TEXT]
        return read_some(self.collection, queries, PLACE, "claim")

    def candidates(
        self,
        scope: Scope,
        count: int,
        after: Cursor | None = None,
        but_async: bool = False,
        but_forced: bool = False,
    ) -> list[Document]:
        """Returns `_id`, queue, priority and `at` of the next waiting jobs: highest priority first, then longest due.

        With `after`, only jobs of its queue behind that place, and those of higher priority before them. `but_async`
        and `but_forced` pass over async and force_spawn jobs; for both the server reads every document. So it does for
        unknown classes.
        """
        waiting, fields = _waiting(scope), {**PLACE, **scope.fields}
        if but_async:
            waiting["async"] = {"$exists": False}
        if but_forced:
            waiting["options.force_spawn"] = {"$ne": True}
        if after is None or after.queue in scope.but_queues:
            return self._in_claim_order(waiting, count, fields)
        waiting["queue"] = after.queue
        parts: list[Document] = [
            {"priority": {"$gt": after.priority}},
            {"priority": after.priority, "at": after.at, "_id": {"$gt": after.job_id}},
            {"priority": after.priority, "at": {"$gt": after.at}},
        ]
        found: list[Document] = []
        for part in parts:
            if len(found) < count:
                found += self._in_claim_order({**waiting, **part}, count - len(found), fields)
        return found

    def _in_claim_order(self, query: Document, count: int, fields: Document) -> list[Document]:
        stored = as_stored(query)
        return read(
            self.collection, lambda jobs: jobs.find(stored, fields, batch_size=count).sort(CLAIM_ORDER).limit(count)
        )

    def forced(self, scope: Scope, count: int) -> list[Document]:
        """Returns waiting jobs of the option force_spawn, which get a worker of their own although none is free."""
        query, fields = {**_waiting(scope), "options.force_spawn": True}, {**ONLY_ID, **scope.fields}
        return self._on_demand.read("force", lambda jobs: jobs.find(query, fields).hint("force").limit(count))

    def asynchronous(self, scope: Scope, count: int) -> list[Document]:
        """Returns waiting async jobs in claim order."""
        query, fields = {**_waiting(scope), "async": True}, {**ONLY_ID, **scope.fields}
        order = [("priority", -1), ("at", 1)]
        return self._on_demand.read(
            "async", lambda jobs: jobs.find(query, fields).sort(order).hint("async").limit(count)
        )

    def next_kinds(self, scope: Scope, count: int) -> list[Document]:
        """Returns the next waiting jobs in claim order, and which of them are `async`."""
        return self._in_claim_order(_waiting(scope), count, {**PLACE, "async": 1, **scope.fields})

    def overdue(self, scope: Scope, names: Sequence[str], seconds: float, count: int) -> list[Document]:
        """Returns `_id`, class and queue of waiting jobs of these classes that fell due so many seconds ago."""
        fell_due = {"$lte": ["$at", {"$subtract": ["$$NOW", round(seconds * 1000)]}]}
        query = {**_waiting(scope), "class": {"$in": list(names)}, "$expr": fell_due}
        fields = {"queue": 1, "class": 1, **scope.fields}
        return read(self.collection, lambda jobs: jobs.find(query, fields).sort(CLAIM_ORDER).limit(count))

    def companions(self, scope: Scope, name: str, queue: str, count: int) -> list[Document]:
        """Returns the next waiting jobs of a class in one queue that run in batches."""
        if not self._has_batches:
            self._ensure_index()
        if name in (*scope.unknown, *scope.but_classes) or queue in scope.but_queues:
            return []
        query = {"status": int(Status.WAITING), "class": name, "queue": queue, "batch": {"$exists": True}}
        return self._in_claim_order(query, count, {**PLACE, **scope.fields})

    def _ensure_index(self) -> None:
        """Makes the index for batches. Without the right to do that, searches look at all jobs that wait."""
        try:
            ensure_indexes(self.collection.database, self.collection.name, [ON_DEMAND["batch"]])
        except OperationFailure as error:
            logger.warning("no index for batches, which are gathered more slowly", extra={"reason": brief(error)})
        self._has_batches = True

    def claim(
        self, ids: Sequence[ObjectId], claim: str, boot: ObjectId, node: str, claimable: Claimable = WAITING
    ) -> int:
        """Claims these jobs and returns how many it got; `claimed` reads which. May take effect although it raises."""
        query = {"_id": {"$in": list(ids)}, **claimable.query}
        return self.collection.update_many(query, claimable.update(claim, boot, node), hint=BY_ID).modified_count

    def claim_one(
        self,
        job_id: ObjectId,
        scope: Scope,
        claim: str,
        boot: ObjectId,
        node: str,
        claimable: Claimable = WAITING,
    ) -> list[ClaimedJob]:
        """Claims and reads one job in one operation, which the driver retries; empty if it does not wait any more.

        So it is for one that is paused.
        """
        query = {**_startable(scope), "_id": job_id, **claimable.query}
        change, after = claimable.update(claim, boot, node), ReturnDocument.AFTER
        with readable_errors():
            job = self._raw.find_one_and_update(query, change, projection=READ_BACK, return_document=after, hint=BY_ID)
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
        return self.collection.update_many(fence.filter(), release_update(), hint=BY_ID).modified_count == 1


def _waiting(scope: Scope) -> Document:
    """Matches waiting jobs of the queues that may be searched, without those of classes that the node does not know."""
    query: Document = {"status": int(Status.WAITING)}
    if scope.queues is not None:
        query["queue"] = {"$in": [queue for queue in scope.queues if queue not in scope.but_queues]}
    elif scope.but_queues:
        query["queue"] = {"$nin": list(scope.but_queues)}
    if scope.unknown:
        query["class"] = {"$nin": list(scope.unknown)}
    return query


def _startable(scope: Scope) -> Document:
    """Matches the same, and no job whose class or tag is paused."""
    query = _waiting(scope)
    if scope.but_classes:
        query["class"] = {"$nin": [*scope.unknown, *scope.but_classes]}
    if scope.but_tags:
        query["tags"] = {"$nin": list(scope.but_tags)}
    return query
