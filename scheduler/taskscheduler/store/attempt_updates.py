"""Pure: how the start and the end of an attempt are written, as updates that name the attempt they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId
from pymongo import UpdateMany

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status, Transition, Verdict, target
from taskscheduler.model.schedules import successor_id
from taskscheduler.store.fence import Fence, from_statuses
from taskscheduler.store.solo_updates import queued_again, release_on_end

KEPT_ATTEMPTS = 20

#: what a job loses that is queued again; without the key of the option `dedupe` it stands in the way of none
_UNCLAIM = ["claim", "boot", "dedupe"]


@dataclass(slots=True)
class Completion:
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
    effects: tuple[str, ...] = ()  #: debts to settle after the write
    holds_once_key: bool = False  #: whether the job holds a key of add_job_once
    solo: str | None = None  #: the key of a solo job, whose turn it is
    ended_as: Status = Status.FAILED  #: how the attempt ended, for its entry in `attempts`

    @property
    def is_simple(self) -> bool:
        """Whether nothing is to be written but that it is done, so that many can be written as one."""
        nothing = self.result is None and not self.progress and not self.effects and not self.holds_once_key
        return nothing and self.solo is None and self.verdict.move is Transition.SUCCEED and self.fence.attempt == 1


def failed_by_child(parent: Mapping[str, Any], error: Mapping[str, Any], lease: float) -> list[Document]:
    """The update that fails a parent, whatever it does, without a retry; the runs of a series go on."""
    interval = parent["options"]["interval"]
    verdict = Verdict(Transition.FAIL_PARENT, plans_next=interval != 0)
    fence = Fence(parent["_id"], parent.get("claim", ""), parent["attempt"])
    ended = _ended(
        Completion(
            fence,
            verdict,
            parent.get("worker"),
            error=error,
            interval=interval,
            interval_reference=parent["options"]["interval_reference"],
            series=(parent["series"], parent["seq"]) if "series" in parent else None,
            effects=(*(("next",) if verdict.plans_next else ()), "family", "hook"),
        )
    )
    return [release_on_end(lease), *ended, {"$unset": ["parked_at"]}]


def claiming(claim: str, boot: ObjectId, node: str) -> Document:
    return {
        "$set": {"status": int(target(Transition.CLAIM)), "claim": claim, "boot": boot, "node": node},
        "$inc": {"attempt": 1},
        "$currentDate": {"started": True, "alive": True},
    }


def release_update() -> Document:
    """The update that undoes a claim whose job has not started."""
    return {
        "$set": {"status": int(target(Transition.RELEASE)), "node": None, "started": None},
        "$inc": {"attempt": -1},
        "$unset": dict.fromkeys(_UNCLAIM, ""),
    }


def requeue_update(job: Mapping[str, Any]) -> list[Document]:
    """The update that puts an ended job back, as it was when it was added, but for its number and list of attempts.

    A run of a series is tried for itself: the series has planned its next run already, or was cancelled.
    """
    entry = {
        name: f"${name}" for name in ("attempt", "started", "ended", "node", "worker", "status", "error", "result")
    }
    happened = {"$or": [{"$ne": ["$started", None]}, {"$eq": ["$status", int(Status.FAILED)]}]}
    # of the results only the last is kept: many of them could outgrow a document
    earlier = {
        "$map": {
            "input": {"$ifNull": ["$attempts", []]},
            "in": {"$unsetField": {"field": "result", "input": "$$this"}},
        }
    }
    stage: Document = {
        "status": {"$literal": int(target(Transition.REQUEUE))},
        "attempts": {"$slice": [{"$concatArrays": [earlier, {"$cond": [happened, [entry], []]}]}, 1 - KEPT_ATTEMPTS]},
        "at": "$$NOW",
        "alive": "$$NOW",
        **_literal({"started": None, "ended": None, "worker": None, "node": None}),
        **_literal({"retries": 0, "lost": 0, "progress": 0.0}),
    }
    stage |= queued_again(job)
    gone = [*_UNCLAIM, "message", "error", "result", "pending", "gate", "gate_until"]
    if "series" in job:
        stage["options.interval"] = {"$literal": 0}
        gone += ["series", "seq"]
    if "once_key" in job:
        stage["once"] = "$once_key"
    return [{"$set": stage}, {"$unset": gone}]


def has_landed(one: Completion, job: Mapping[str, Any] | None) -> bool:
    if job is None:
        return False
    if one.verdict.status.is_final:
        return (job["status"], job.get("claim")) == (one.verdict.status, one.fence.claim)
    return str(job.get("rearmed", "")).startswith(f"{one.fence.attempt}:")


def ended_update(one: Completion) -> list[Document]:
    """The update that gives a job its final status."""
    return _ended(one)


def finishing(one: Completion) -> UpdateMany:
    if one.unstarted:
        return UpdateMany(one.fence.filter(), release_update())
    if one.verdict.status is Status.DONE and not one.effects:
        return UpdateMany(one.fence.filter(), _done(one))
    if one.verdict.status.is_final:
        return UpdateMany(one.fence.filter(), _ended(one))
    return UpdateMany(one.fence.filter(), _rearmed(one))


def all_done(claim: str, worker: str | None, ids: Sequence[ObjectId]) -> UpdateMany:
    """Jobs of one claim that are done and no more. A claim takes a job only once, so it stands for the attempt."""
    query = {"_id": {"$in": list(ids)}, "status": from_statuses(Transition.SUCCEED), "claim": claim}
    change = {"status": int(target(Transition.SUCCEED)), "progress": 100.0, "worker": worker}
    return UpdateMany(query, {"$set": change, "$currentDate": {"ended": True}})


def _done(one: Completion) -> Document:
    """The common case as a plain update: nothing is evaluated, nothing follows."""
    change: Document = {"status": int(one.verdict.status), "progress": 100.0, "worker": one.worker}
    if one.result is not None:
        change["result"] = one.result
    if one.progress.get("message") is not None:
        change["message"] = one.progress["message"]
    gone = dict.fromkeys(("once", "error", *(("gate",) if one.solo else ())), "")
    return {"$set": change, "$currentDate": {"ended": True}, "$unset": gone}


def _literal(values: Mapping[str, Any]) -> Document:
    """User data in a pipeline update: never evaluated."""
    return {name: {"$literal": value} for name, value in values.items()}


def _ended(one: Completion) -> list[Document]:
    """A final status with what it still owes; the next run of a series is planned in the same write."""
    done = one.verdict.status is Status.DONE
    values: Document = {"status": int(one.verdict.status), "worker": one.worker, **one.progress}
    values |= {"progress": 100.0, "result": one.result} if done else {"error": one.error}
    stage: Document = {**_literal(values), "ended": "$$NOW"}
    if one.lost:
        stage["lost"] = {"$add": ["$lost", 1]}
    if one.effects:
        stage["pending"] = {"$literal": list(one.effects)}
    gone = ["error"] if done else []
    if one.verdict.plans_next and one.series is not None:
        stage["next"] = _next(one, one.series)
    else:
        gone.append("once")
    if one.solo:
        gone.append("gate")
    return [{"$set": stage}, *([{"$unset": gone}] if gone else [])]


def _next(one: Completion, series: tuple[ObjectId, int]) -> Document:
    reference = {"$ifNull": ["$started", "$$NOW"]} if one.interval_reference == "start" else "$$NOW"
    at = "$$NOW" if one.interval == -1 else {"$add": [reference, round(one.interval * 1000)]}
    return {"_id": successor_id(series[0], series[1] + 1, ObjectId()), "at": at, "created": "$$NOW"}


def _rearmed(one: Completion) -> list[Document]:
    """Back to the queue: the attempt moves into the list of attempts, and `rearmed` tells listeners about it."""
    released = one.verdict.move is Transition.RELEASE
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
    if one.verdict.failures is not None:
        stage["service.failures"] = {"$literal": one.verdict.failures}
    if not released:
        stage["retries"] = {"$add": ["$retries", 1]}
        stage["at"] = {"$add": ["$$NOW", round(one.retry_interval * 1000)]}
    turn_is_over = one.solo is not None and one.verdict.status is not Status.WAITING
    return [{"$set": stage}, {"$unset": [*_UNCLAIM, "message", *(["gate"] if turn_is_over else [])]}]
