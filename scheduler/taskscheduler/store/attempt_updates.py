"""Builds the updates that claim, end, retry, release and requeue attempts; all are safe to repeat."""

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
from taskscheduler.store.solo_updates import release_on_end, requeue_stage

KEPT_ATTEMPTS = 20

_CLAIMED = int(target(Transition.CLAIM))

#: fields that a job loses when it is queued again; without the key of the option `dedupe` it blocks no other job
_UNCLAIM = ["claim", "boot", "dedupe"]


@dataclass(slots=True)
class Completion:
    """The end of an attempt, ready to be written."""

    fence: Fence
    verdict: Verdict
    worker: str | None = None
    lost: bool = False  #: whether it counts as a lost worker
    unstarted: bool = False  #: it never began, so the attempt is not counted
    result: Any = None
    error: Mapping[str, Any] | None = None
    progress: Mapping[str, Any] = field(default_factory=dict)
    retry_interval: float = 0  #: seconds until a retry
    interval: float = 0
    interval_reference: str = "end"
    series: tuple[ObjectId, int] | None = None  #: series and number of this run
    effects: tuple[str, ...] = ()  #: what the outbox delivers after the write
    holds_once_key: bool = False  #: whether the job holds a key of add_job_once
    solo: str | None = None  #: the key of a solo job, which holds the lock of that key
    ended_as: Status = Status.FAILED  #: how the attempt ended, for its entry in `attempts`

    @property
    def is_simple(self) -> bool:
        """Whether the job is done and nothing else is written, so that many such ends fit in one update."""
        nothing = self.result is None and not self.progress and not self.effects and not self.holds_once_key
        return nothing and self.solo is None and self.verdict.move is Transition.SUCCEED and self.fence.attempt == 1


def fail_parent_update(parent: Mapping[str, Any], error: Mapping[str, Any], lease: float) -> list[Document]:
    """Fails a live parent without a retry because a child failed; the runs of its series go on."""
    interval = parent["options"]["interval"]
    verdict = Verdict(Transition.FAIL_PARENT, plans_next=interval != 0)
    fence = Fence(parent["_id"], parent.get("claim", ""), parent["attempt"])
    ended = final_update(
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


def cancel_update(lease: float) -> list[Document]:
    """Cancels a live job; the lock of a running solo job stays until its process is gone, see `release_on_end`."""
    values = {"status": int(target(Transition.CANCEL)), "pending": ["family", "hook"]}
    return [release_on_end(lease), {"$set": {**_literal(values), "ended": "$$NOW"}}, {"$unset": ["once", "parked_at"]}]


def claim_update(claim: str, boot: ObjectId, node: str) -> Document:
    """Starts an attempt on the node that was started as `boot`, and counts it."""
    return {
        "$set": {"status": _CLAIMED, "claim": claim, "boot": boot, "node": node},
        "$inc": {"attempt": 1},
        "$currentDate": {"started": True, "alive": True},
    }


def release_update() -> Document:
    """Undoes a claim whose job has not started; the attempt is not counted."""
    return {
        "$set": {"status": int(target(Transition.RELEASE)), "node": None, "started": None},
        "$inc": {"attempt": -1},
        "$unset": dict.fromkeys(_UNCLAIM, ""),
    }


def requeue_update(job: Mapping[str, Any]) -> list[Document]:
    """Puts an ended job back in the queue as it was added; only its attempt number and list of attempts go on.

    A run of a series is retried on its own: the series has planned its next run already, or was cancelled.
    """
    stage: Document = {
        "status": {"$literal": int(target(Transition.REQUEUE))},
        "attempts": _attempts_with_last(),
        "at": "$$NOW",
        "alive": "$$NOW",
        **_literal({"started": None, "ended": None, "worker": None, "node": None}),
        **_literal({"retries": 0, "lost": 0, "progress": 0.0}),
    }
    stage |= requeue_stage(job)
    removed = [*_UNCLAIM, "message", "error", "result", "pending", "gate", "gate_until"]
    if "series" in job:
        stage["options.interval"] = {"$literal": 0}
        removed += ["series", "seq"]
    if "once_key" in job:
        stage["once"] = "$once_key"
    return [{"$set": stage}, {"$unset": removed}]


def _attempts_with_last() -> Document:
    """Adds the last attempt, if there was one, to the list of attempts."""
    names = ("attempt", "started", "ended", "node", "worker", "status", "error", "result")
    last: Document = {name: f"${name}" for name in names}
    is_faulty = {"$in": ["$status", [int(Status.FAILED), int(Status.TIMEOUT)]]}
    last["error"] = {"$cond": [is_faulty, "$error", None]}  # else it is that of an earlier attempt
    has_run = {"$or": [{"$ne": ["$started", None]}, {"$eq": ["$status", int(Status.FAILED)]}]}
    # only the last result is kept: many of them could outgrow a document
    without_result = {"$unsetField": {"field": "result", "input": "$$this"}}
    earlier = {"$map": {"input": {"$ifNull": ["$attempts", []]}, "in": without_result}}
    return {"$slice": [{"$concatArrays": [earlier, {"$cond": [has_run, [last], []]}]}, 1 - KEPT_ATTEMPTS]}


def is_written(completion: Completion, job: Mapping[str, Any] | None) -> bool:
    """Whether a job, as it is stored now, shows that this end was written."""
    if job is None:
        return False
    if completion.verdict.status.is_final:
        return (job["status"], job.get("claim")) == (completion.verdict.status, completion.fence.claim)
    return str(job.get("rearmed", "")).startswith(f"{completion.fence.attempt}:")


def completion_update(completion: Completion) -> UpdateMany:
    """Writes the end of one attempt behind its fence, whatever follows from it."""
    if completion.unstarted:
        return UpdateMany(completion.fence.filter(), release_update())
    status = completion.verdict.status
    if status is Status.DONE and not completion.effects:
        return UpdateMany(completion.fence.filter(), done_update(completion))
    if status.is_final:
        return UpdateMany(completion.fence.filter(), final_update(completion))
    return UpdateMany(completion.fence.filter(), rearm_update(completion))


def batch_done_update(claim: str, worker: str | None, ids: Sequence[ObjectId]) -> UpdateMany:
    """Writes the simple ends of jobs of one claim. A claim takes a job only once, so it stands for the attempt."""
    query = {"_id": {"$in": list(ids)}, "status": from_statuses(Transition.SUCCEED), "claim": claim}
    change = {"status": int(target(Transition.SUCCEED)), "progress": 100.0, "worker": worker}
    return UpdateMany(query, {"$set": change, "$currentDate": {"ended": True}})


def done_update(completion: Completion) -> Document:
    """Ends a job as DONE where nothing follows: a plain update, in which the server evaluates nothing."""
    change: Document = {"status": int(completion.verdict.status), "progress": 100.0, "worker": completion.worker}
    if completion.result is not None:
        change["result"] = completion.result
    if completion.progress.get("message") is not None:
        change["message"] = completion.progress["message"]
    removed = dict.fromkeys(("once", "error", *(("gate",) if completion.solo else ())), "")
    return {"$set": change, "$currentDate": {"ended": True}, "$unset": removed}


def _literal(values: Mapping[str, Any]) -> Document:
    """Quotes user data for a pipeline update, so that the server never evaluates it."""
    return {name: {"$literal": value} for name, value in values.items()}


def final_update(completion: Completion) -> list[Document]:
    """Gives a job its final status and its undelivered effects; plans the next run of a series in the same write."""
    done = completion.verdict.status is Status.DONE
    values: Document = {"status": int(completion.verdict.status), "worker": completion.worker, **completion.progress}
    values |= {"progress": 100.0, "result": completion.result} if done else {"error": completion.error}
    stage: Document = {**_literal(values), "ended": "$$NOW"}
    if completion.lost:
        stage["lost"] = {"$add": ["$lost", 1]}
    if completion.effects:
        stage["pending"] = {"$literal": list(completion.effects)}
    removed = ["error"] if done else []
    if completion.verdict.plans_next and completion.series is not None:
        stage["next"] = _planned_run(completion, completion.series)
    else:
        removed.append("once")
    if completion.solo:
        removed.append("gate")
    return [{"$set": stage}, *([{"$unset": removed}] if removed else [])]


def _planned_run(completion: Completion, series: tuple[ObjectId, int]) -> Document:
    reference = {"$ifNull": ["$started", "$$NOW"]} if completion.interval_reference == "start" else "$$NOW"
    at = "$$NOW" if completion.interval == -1 else {"$add": [reference, round(completion.interval * 1000)]}
    return {"_id": successor_id(series[0], series[1] + 1, ObjectId()), "at": at, "created": "$$NOW"}


def rearm_update(completion: Completion) -> list[Document]:
    """Queues a job again: the attempt moves to the list of attempts, and `rearmed` shows listeners how it ended."""
    released = completion.verdict.move is Transition.RELEASE
    entry = _attempt_entry(completion, None if released else completion.ended_as)
    stage: Document = {
        "status": {"$literal": int(completion.verdict.status)},
        "attempts": {"$slice": [{"$concatArrays": [{"$ifNull": ["$attempts", []]}, [entry]]}, 1 - KEPT_ATTEMPTS]},
        "rearmed": {"$concat": [{"$toString": "$attempt"}, ":" + ("" if released else completion.ended_as.label)]},
        "worker": None,
        "node": None,
        "started": None,
        "progress": 0.0,
    }
    if completion.error is not None:
        stage["error"] = {"$literal": completion.error}
    if completion.lost:
        stage["lost"] = {"$add": ["$lost", 1]}
    if completion.verdict.failures is not None:
        stage["service.failures"] = {"$literal": completion.verdict.failures}
    if not released:
        stage["retries"] = {"$add": ["$retries", 1]}
        stage["at"] = {"$add": ["$$NOW", round(completion.retry_interval * 1000)]}
    frees_lock = completion.solo is not None and completion.verdict.status is not Status.WAITING
    return [{"$set": stage}, {"$unset": [*_UNCLAIM, "message", *(["gate"] if frees_lock else [])]}]


def _attempt_entry(completion: Completion, status: Status | None) -> Document:
    return {
        "attempt": "$attempt",
        "started": "$started",
        "ended": "$$NOW",
        "node": "$node",
        "worker": {"$literal": completion.worker},
        "status": {"$literal": None if status is None else int(status)},
        "error": {"$literal": completion.error},
    }
