"""What a queue node does to jobs: claim, finish, hand back, promote, take back. Every write is fenced.

A claim stamps each job with the node's `boot` id and a fresh `claim` id and counts `attempt` up. Every later write
names `_id`, PROCESSING, `claim` and `attempt`, so a node that has lost a job in the meantime changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import ReturnDocument, UpdateMany, UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from taskscheduler.lifecycle import Move, Status, Verdict, target
from taskscheduler.options import SchedulerOptions
from taskscheduler.record import CODEC, Document, successor_id
from taskscheduler.store.client import PROMPT
from taskscheduler.store.jobs import from_statuses
from taskscheduler.store.schema import CLAIM_ORDER

KEPT_ATTEMPTS = 20
_DUE_BATCH = 1000
_READ_BACK = dict.fromkeys(
    ("class", "data", "attempt", "options", "retries", "lost", "hook", "parent", "series", "seq", "once"), 1
)
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument, tz_aware=True, uuid_representation=CODEC.uuid_representation
)
_PLACE = {"queue": 1, "priority": 1, "at": 1}
_UNCLAIM = ["claim", "boot"]


class Mark(NamedTuple):
    """A place in the order in which jobs are claimed."""

    queue: str
    priority: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Fence:
    """Names one attempt of one job so exactly that nobody else's write can match it."""

    job_id: ObjectId
    claim: str
    attempt: int

    def filter(self) -> Document:
        return {"_id": self.job_id, "status": int(Status.PROCESSING), "claim": self.claim, "attempt": self.attempt}


@dataclass(slots=True)
class Finish:
    """The end of an attempt, as it is to be written."""

    fence: Fence
    verdict: Verdict
    worker: str | None = None
    lost: bool = False  #: whether it counts as a lost worker
    unstarted: bool = False  #: it never began, so its number is given back
    result: Any = None
    error: Mapping[str, Any] | None = None
    progress: Mapping[str, Any] = field(default_factory=dict)
    retry_interval: float = 0  #: seconds until a retry
    interval: float = 0
    interval_reference: str = "end"
    series: tuple[ObjectId, int] | None = None  #: series and number of this run
    owes: tuple[str, ...] = ()  #: debts to settle after the write
    keyed: bool = False  #: whether the job holds a key of add_job_once
    ended_as: Status = Status.FAILED  #: how the attempt ended, for its entry in `attempts`

    @property
    def plain(self) -> bool:
        """Whether nothing is to be written but that it is done, so that many can be written as one."""
        nothing = self.result is None and not self.progress and not self.owes and not self.keyed
        return nothing and self.verdict.move is Move.SUCCEED and self.fence.attempt == 1


class ClaimStore:
    """Jobs as a node sees them."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self.collection: Collection[Document] = database[options.job_store]
        majority = ReadConcern("majority")
        self._raw = database.with_options(codec_options=_RAW, read_concern=majority)[options.job_store]
        self._prompt = database.get_collection(options.job_store, write_concern=PROMPT)

    # -- claiming ---------------------------------------------------------------------------------------------------

    def queues(self) -> list[str]:
        """The queues that have waiting jobs."""
        names: list[str] = []
        while True:
            query: Document = {"status": int(Status.WAITING), "queue": {"$gt": names[-1] if names else ""}}
            found = self.collection.find(query, {"queue": 1}).sort("queue", 1).hint("claim").limit(1)
            name = next((entry["queue"] for entry in found), None)
            if name is None:
                return names
            names.append(name)

    def candidates(self, queues: Sequence[str], count: int, after: Mark | None = None) -> list[Document]:
        """The next waiting jobs: highest priority first, then the longest due. Their _id, queue, priority and at.

        With `after`, only those of its queue from its place on, unless some of higher priority wait there.
        """
        waiting: Document = {"status": int(Status.WAITING)}
        if after is None:
            return self._in_claim_order({**waiting, "queue": {"$in": list(queues)}}, count)
        waiting["queue"] = after.queue
        urgent = self._in_claim_order({**waiting, "priority": {"$gt": after.priority}}, count)
        rest = {**waiting, "priority": after.priority, "at": {"$gte": after.at}}
        return urgent or self._in_claim_order(rest, count)

    def _in_claim_order(self, query: Document, count: int) -> list[Document]:
        return list(self.collection.find(query, _PLACE).sort(CLAIM_ORDER).limit(count))

    def forced(self, queues: Sequence[str] | None, count: int) -> list[ObjectId]:
        """Waiting jobs that get a worker of their own whether or not one is free."""
        query: Document = {"options.force_spawn": True, "status": int(Status.WAITING)}
        if queues is not None:
            query["queue"] = {"$in": list(queues)}
        return [entry["_id"] for entry in self.collection.find(query, {"_id": 1}).hint("force").limit(count)]

    def claim(self, ids: Sequence[ObjectId], claim: str, boot: ObjectId, node: str) -> None:
        """Try to take these jobs; `claimed` tells which ones were got. May be carried out although it raises."""
        query = {"_id": {"$in": list(ids)}, "status": from_statuses(Move.CLAIM)}
        self.collection.update_many(query, _claiming(claim, boot, node))

    def claim_one(
        self, job_id: ObjectId, queues: Sequence[str], claim: str, boot: ObjectId, node: str
    ) -> RawBSONDocument | None:
        """Take one job and read it in the same operation, which the driver retries; None if it is not to be had."""
        query: Document = {"_id": job_id, "status": from_statuses(Move.CLAIM)}
        if queues:
            query["queue"] = {"$in": list(queues)}
        return self._raw.find_one_and_update(
            query, _claiming(claim, boot, node), projection=_READ_BACK, return_document=ReturnDocument.AFTER
        )

    def claimed(self, claim: str, boot: ObjectId) -> list[RawBSONDocument]:
        """The jobs that a claim has got, as a majority of the servers knows it."""
        query = {"boot": boot, "claim": claim, "status": int(Status.PROCESSING)}
        return list(self._raw.find(query, _READ_BACK).hint("held"))

    def ended(self, job_id: ObjectId) -> RawBSONDocument | None:
        """The whole document of one job, not decoded."""
        return self._raw.find_one({"_id": job_id})

    def abandon(self, claim: str, boot: ObjectId) -> int:
        """Give back all jobs of a claim that could not be read back; none of them has started."""
        query = {"boot": boot, "claim": claim, "status": from_statuses(Move.RELEASE)}
        return self.collection.update_many(query, _given_back()).modified_count

    # -- finishing --------------------------------------------------------------------------------------------------

    def finish(self, finishes: Sequence[Finish]) -> int:
        """Write the ends of many attempts at once; how many fences still held.

        Safe to repeat, which is the caller's affair: as updates of many documents they are not retried by the driver,
        whose bookkeeping for that doubles the cost of a write.
        """
        groups: dict[tuple[str, str | None], list[ObjectId]] = {}
        writes = []
        for one in finishes:
            if one.plain:
                groups.setdefault((one.fence.claim, one.worker), []).append(one.fence.job_id)
            else:
                writes.append(_finishing(one))
        writes += [_all_done(claim, worker, ids) for (claim, worker), ids in groups.items()]
        return self.collection.bulk_write(writes, ordered=False).matched_count

    def landed(self, finishes: Sequence[Finish]) -> set[ObjectId]:
        """Which of the written ends are in the database, for when fewer matched than were written."""
        ids = [one.fence.job_id for one in finishes]
        fields = {"status": 1, "claim": 1, "attempt": 1, "rearmed": 1}
        found = {job["_id"]: job for job in self.collection.find({"_id": {"$in": ids}}, fields)}
        return {one.fence.job_id for one in finishes if _has_landed(one, found.get(one.fence.job_id))}

    def progress(self, reports: Sequence[tuple[Fence, Mapping[str, Any], ObjectId | None]]) -> None:
        """Note signs of life with what they say; that of a child keeps its parent alive."""
        writes = []
        for fence, said, parent in reports:
            update: Document = {"$currentDate": {"alive": True}}
            if said:
                update["$set"] = dict(said)
            writes.append(UpdateOne(fence.filter(), update))
            if parent is not None:
                running = {"_id": parent, "status": int(Status.PROCESSING)}
                writes.append(UpdateOne(running, {"$currentDate": {"alive": True}}))
        self._prompt.bulk_write(writes, ordered=False)

    # -- looking after ----------------------------------------------------------------------------------------------

    def still_held(self, fences: Sequence[Fence]) -> set[ObjectId]:
        """Which of these attempts are still ours: the others were cancelled, deleted or taken back."""
        query = {"_id": {"$in": [fence.job_id for fence in fences]}, "status": int(Status.PROCESSING)}
        found = {job["_id"]: (job["claim"], job["attempt"]) for job in self.collection.find(query, _FENCE_FIELDS)}
        return {fence.job_id for fence in fences if found.get(fence.job_id) == (fence.claim, fence.attempt)}

    def held_by(self, boot: ObjectId) -> list[Fence]:
        """All attempts that the database counts as running on one start of a node."""
        query = {"boot": boot, "status": int(Status.PROCESSING)}
        found = self.collection.find(query, _FENCE_FIELDS).hint("held")
        return [Fence(job["_id"], job["claim"], job["attempt"]) for job in found]

    def owners(self) -> set[ObjectId]:
        """The starts of nodes that hold running jobs."""
        stages: list[Document] = [
            {"$match": {"status": int(Status.PROCESSING), "boot": {"$gt": ObjectId("0" * 24)}}},
            {"$group": {"_id": "$boot"}},
        ]
        return {entry["_id"] for entry in self.collection.aggregate(stages, hint="held")}

    def take_back(self, boot: ObjectId, node: str, max_lost: int) -> list[tuple[ObjectId, Status]]:
        """Re-arm all jobs of a node that is lost, or set them aside if they were lost too often."""
        query = {"boot": boot, "status": int(Status.PROCESSING)}
        fields = {**_FENCE_FIELDS, "lost": 1, "options": 1, "series": 1, "seq": 1, "hook": 1}
        jobs = list(self.collection.find(query, fields).hint("held"))
        finishes = [_orphan(job, node, max_lost) for job in jobs]
        if finishes:
            self.finish(finishes)
        return [(one.fence.job_id, one.verdict.status) for one in finishes]

    def due(self) -> list[ObjectId]:
        """Postponed jobs whose time has come by the server's clock."""
        query = {"status": int(Status.POSTPONED), "$expr": {"$lte": ["$at", "$$NOW"]}}
        return [job["_id"] for job in self.collection.find(query, {"_id": 1}).hint("due").limit(_DUE_BATCH)]

    def promote(self, ids: Sequence[ObjectId]) -> int:
        """Make due jobs wait for a free slot; how many were not yet."""
        query = {
            "_id": {"$in": list(ids)},
            "status": from_statuses(Move.PROMOTE),
            "$expr": {"$lte": ["$at", "$$NOW"]},
        }
        change = {"$set": {"status": int(target(Move.PROMOTE))}}
        return self.collection.update_many(query, change).modified_count

    def seconds_until_due(self) -> float | None:
        """How long until the next postponed job is due by the server's clock; None if there is none."""
        stages: list[Document] = [
            {"$match": {"status": int(Status.POSTPONED)}},
            {"$sort": {"at": 1}},
            {"$limit": 1},
            {"$project": {"left": {"$divide": [{"$subtract": ["$at", "$$NOW"]}, 1000]}}},
        ]
        found = next(iter(self.collection.aggregate(stages, hint="due")), None)
        return None if found is None else float(found["left"])


_FENCE_FIELDS = {"claim": 1, "attempt": 1}


def _orphan(job: Mapping[str, Any], node: str, max_lost: int) -> Finish:
    poisoned = job.get("lost", 0) + 1 >= max_lost
    interval = job["options"]["interval"]
    verdict = Verdict(Move.POISON if poisoned else Move.RELEASE, plans_next=poisoned and interval != 0)
    message = f"node {node} was lost while it ran the job"
    return Finish(
        Fence(job["_id"], job["claim"], job["attempt"]),
        verdict,
        lost=True,
        error={"type": "PoisonedJobError" if poisoned else "NodeLostError", "message": message},
        interval=interval,
        interval_reference=job["options"]["interval_reference"],
        series=(job["series"], job["seq"]) if "series" in job else None,
        owes=_orphan_owes(verdict, job.get("hook", True)),
    )


def _orphan_owes(verdict: Verdict, hook: bool) -> tuple[str, ...]:
    if not verdict.status.is_final:
        return ()
    return (*(("next",) if verdict.plans_next else ()), "family", *(("hook",) if hook else ()))


def _claiming(claim: str, boot: ObjectId, node: str) -> Document:
    return {
        "$set": {"status": int(target(Move.CLAIM)), "claim": claim, "boot": boot, "node": node},
        "$inc": {"attempt": 1},
        "$currentDate": {"started": True, "alive": True},
    }


def _given_back() -> Document:
    """The update that undoes a claim whose job has not started."""
    return {
        "$set": {"status": int(target(Move.RELEASE)), "node": None, "started": None},
        "$inc": {"attempt": -1},
        "$unset": dict.fromkeys(_UNCLAIM, ""),
    }


def _has_landed(one: Finish, job: Mapping[str, Any] | None) -> bool:
    if job is None:
        return False
    if one.verdict.status.is_final:
        return (job["status"], job.get("claim")) == (one.verdict.status, one.fence.claim)
    return str(job.get("rearmed", "")).startswith(f"{one.fence.attempt}:")


def _finishing(one: Finish) -> UpdateMany:
    if one.unstarted:
        return UpdateMany(one.fence.filter(), _given_back())
    if one.verdict.status is Status.DONE and not one.owes:
        return UpdateMany(one.fence.filter(), _done(one))
    if one.verdict.status.is_final:
        return UpdateMany(one.fence.filter(), _ended(one))
    return UpdateMany(one.fence.filter(), _rearmed(one))


def _all_done(claim: str, worker: str | None, ids: Sequence[ObjectId]) -> UpdateMany:
    """Jobs of one claim that are done and no more. A claim takes a job only once, so it stands for the attempt."""
    query = {"_id": {"$in": list(ids)}, "status": from_statuses(Move.SUCCEED), "claim": claim}
    change = {"status": int(target(Move.SUCCEED)), "progress": 100.0, "worker": worker}
    return UpdateMany(query, {"$set": change, "$currentDate": {"ended": True}})


def _done(one: Finish) -> Document:
    """The common case as a plain update: nothing is evaluated, nothing follows."""
    change: Document = {"status": int(one.verdict.status), "progress": 100.0, "worker": one.worker}
    if one.result is not None:
        change["result"] = one.result
    if one.progress.get("message") is not None:
        change["message"] = one.progress["message"]
    return {"$set": change, "$currentDate": {"ended": True}, "$unset": {"once": "", "error": ""}}


def _literal(values: Mapping[str, Any]) -> Document:
    """User data in a pipeline update: never evaluated."""
    return {name: {"$literal": value} for name, value in values.items()}


def _ended(one: Finish) -> list[Document]:
    """A final status with what it still owes; the next run of a series is planned in the same write."""
    done = one.verdict.status is Status.DONE
    values: Document = {"status": int(one.verdict.status), "worker": one.worker, **one.progress}
    values |= {"progress": 100.0, "result": one.result} if done else {"error": one.error}
    stage: Document = {**_literal(values), "ended": "$$NOW"}
    if one.lost:
        stage["lost"] = {"$add": ["$lost", 1]}
    if one.owes:
        stage["pending"] = {"$literal": list(one.owes)}
    gone = ["error"] if done else []
    if one.verdict.plans_next and one.series is not None:
        stage["next"] = _next(one, one.series)
    else:
        gone.append("once")
    return [{"$set": stage}, *([{"$unset": gone}] if gone else [])]


def _next(one: Finish, series: tuple[ObjectId, int]) -> Document:
    reference = "$started" if one.interval_reference == "start" else "$$NOW"
    at = "$$NOW" if one.interval == -1 else {"$add": [reference, round(one.interval * 1000)]}
    return {"_id": successor_id(series[0], series[1] + 1, ObjectId()), "at": at, "created": "$$NOW"}


def _rearmed(one: Finish) -> list[Document]:
    """Back to the queue: the attempt moves into the list of attempts, and `rearmed` tells listeners about it."""
    released = one.verdict.move is Move.RELEASE
    entry: Document = {
        "attempt": "$attempt",
        "started": "$started",
        "ended": "$$NOW",
        "node": "$node",
        "worker": {"$literal": one.worker},
        "status": {"$literal": None if released else int(one.ended_as)},
        "error": {"$literal": one.error},
    }
    stage: Document = {
        "status": {"$literal": int(one.verdict.status)},
        "attempts": {"$slice": [{"$concatArrays": [{"$ifNull": ["$attempts", []]}, [entry]]}, 1 - KEPT_ATTEMPTS]},
        "rearmed": {"$concat": [{"$toString": "$attempt"}, ":" + ("" if released else one.ended_as.label)]},
        "worker": None,
        "node": None,
        "started": None,
        "progress": 0.0,
    }
    if one.error is not None:
        stage["error"] = {"$literal": one.error}
    if one.lost:
        stage["lost"] = {"$add": ["$lost", 1]}
    if not released:
        stage["retries"] = {"$add": ["$retries", 1]}
        stage["at"] = {"$add": ["$$NOW", round(one.retry_interval * 1000)]}
    return [{"$set": stage}, {"$unset": [*_UNCLAIM, "message"]}]
