"""Builds the updates that claim, end, retry, release and requeue attempts; all are safe to repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import UpdateMany

from taskscheduler.model.control.keys import FAR, PARKED_FIELDS, blocks_sequence
from taskscheduler.model.document import Document
from taskscheduler.model.failures import fingerprint_of
from taskscheduler.model.flows.membership import Membership, membership_of
from taskscheduler.model.lifecycle import DEAD_LETTERS, Status, Transition, Verdict, target
from taskscheduler.model.readable import fault_of_series
from taskscheduler.model.schedules import successor_id
from taskscheduler.model.sound import sound
from taskscheduler.store.control_updates import UNCLAIM, release_on_end
from taskscheduler.store.fence import Fence, from_statuses
from taskscheduler.store.lenient_reads import date_or

KEPT_ATTEMPTS = 20

#: seconds; an end that is written later has the time of the write, so that who reads what has changed finds it
LATEST_END = 1.0

SNOOZED = "snoozed"  #: how an attempt ended, for `rearmed`, that has put its job off

#: the status of an attempt, in the list of attempts, that has neither failed nor timed out
_HANDED_ON: Mapping[Transition, Status | None] = {
    Transition.RELEASE: None,
    Transition.SNOOZE: Status.POSTPONED,
}

AWAITS = "awaits"  #: what a job carries that has given its slot back until a signal comes, or a sleep is over

_CLAIMED = int(target(Transition.CLAIM))


def listed_in(field: str) -> Document:
    """Returns an expression for the list in a field, also of a job that has none or something else there."""
    return {"$cond": [{"$isArray": f"${field}"}, f"${field}", []]}


LISTED = listed_in("attempts")

#: what a job carries that has to begin in time: until when; and with the option `retry_for`, when it was first started
WINDOW = ("expires", "first_started")

#: what a job carries that was interrupted or suspected
MARKS = ["suspect", "signalled"]


class Again(NamedTuple):
    """When a job that is queued again may begin, beside its pause: of jobs that have such a limit, or have asked."""

    at: datetime | None = None  #: the date that it has asked for
    begun: bool = True  #: whether this attempt had begun, as far as that is known
    retry_for: float = 0  #: seconds from the first start in which a try may begin; 0: no limit
    awaits: Mapping[str, Any] | None = None  #: the sleep or signal that it waits for, see `model/resumable/steps.py`

    def due(self, pause: Any) -> Any:
        """Returns, for a pipeline, when the job is due that would be after a pause: at once if its signal is there."""
        if self.awaits is None or "name" not in self.awaits:
            return pause if self.at is None else {"$literal": self.at}
        names = {"$map": {"input": listed_in("signals"), "in": "$$this.name"}}
        came = {"$in": [{"$literal": self.awaits["name"]}, names]}
        return {"$cond": [came, "$$NOW", {"$literal": self.at or FAR}]}

    def window(self, move: Transition, started: Any) -> tuple[Document, list[str]]:
        """Returns the fields to set and to remove by this move of a job whose attempt was `started` then.

        A job that was handed back need not hurry: it is not its fault. One that was put off begins as if for the first
        time.
        """
        if not self.begun:
            return {}, []
        if move is Transition.SNOOZE or not self.retry_for:
            return {}, list(WINDOW)
        first: Document = {"$ifNull": ["$first_started", started]}
        if move is Transition.RELEASE:
            return {"first_started": first}, ["expires"]
        return {"first_started": first, "expires": {"$add": [first, round(self.retry_for * 1000)]}}, []


@dataclass(slots=True)
class Completion:
    """The end of an attempt, ready to be written."""

    fence: Fence
    verdict: Verdict
    worker: str | None = None
    lost: bool = False  #: whether it counts as a lost worker
    signalled: bool = False  #: whether it was interrupted by the signal of an operator
    suspect: Mapping[str, Any] | None = None  #: the mark that the job gets or keeps
    was_marked: bool = False  #: whether the job has a mark or a count of signals, to be taken away if it has earned it
    unstarted: bool = False  #: it never began, so the attempt is not counted
    result: Any = None
    error: Mapping[str, Any] | None = None
    reason: str | None = None  #: why it was handed back
    progress: Mapping[str, Any] = field(default_factory=dict)
    retry_interval: float = 0  #: seconds until it begins again
    again: Again | None = None
    interval: float = 0
    interval_reference: str = "end"
    series: tuple[ObjectId, int] | None = None  #: series and number of this run
    effects: tuple[str, ...] = ()  #: what the outbox delivers after the write
    holds_once_key: bool = False  #: whether the job holds a key of add_job_once
    keys: tuple[str, ...] = ()  #: of the controls of which it holds places
    keeps_turn: bool = False  #: whether the job blocks its sequence if it fails
    member: Membership | None = None  #: of a flow
    ended_as: Status = Status.FAILED  #: how the attempt ended, for its entry in `attempts`
    job: str = ""  #: the name of the job's class
    fingerprint: str | None = None  #: of a failure whose place in the code is known
    began: float = 0.0  #: when it began, a unix time by the server's clock; 0.0: when it was claimed
    ended: float = 0.0  #: when it ended; 0.0: when that is written
    commits: bool = False  #: whether the job writes it itself, in its transaction
    batched: int = 0  #: how many jobs ran as one with it; 0: it ran by itself

    @property
    def is_simple(self) -> bool:
        """Whether the job is done and nothing else is written, so that many such ends fit in one update."""
        nothing = self.result is None and not self.progress and not self.effects and not self.holds_once_key
        return nothing and not self.keys and self.verdict.move is Transition.SUCCEED and self.fence.attempt == 1


def as_date(unix: float) -> datetime:
    """Returns a unix time as a date."""
    return datetime.fromtimestamp(unix, UTC)


def fail_parent_update(parent: Mapping[str, Any], error: Mapping[str, Any], lease: float) -> list[Document]:
    """Fails a live parent without a retry because a child failed; the runs of its series go on."""
    return end_update(parent, Transition.FAIL_PARENT, error, lease)


def end_update(
    job: Mapping[str, Any],
    move: Transition,
    error: Mapping[str, Any] | None,
    lease: float,
    fingerprint: str | None = None,
) -> list[Document]:
    """Ends a live job by this move, whatever it does; the runs of its series go on."""
    is_sound = fault_of_series(job) is None
    interval = job["options"]["interval"] if is_sound else 0
    verdict = Verdict(move, plans_next=interval != 0)
    fence = Fence(job["_id"], job.get("claim", ""), job.get("attempt", 0))
    ended = final_update(
        Completion(
            fence,
            verdict,
            job.get("worker"),
            error=error,
            job=sound(job, "class", ""),
            fingerprint=fingerprint,
            interval=interval,
            interval_reference=job["options"]["interval_reference"] if is_sound else "end",
            series=(job["series"], job["seq"]) if is_sound and "series" in job else None,
            effects=(*(("next",) if verdict.plans_next else ()), "family", *_of_flow(job), "hook"),
            member=membership_of(job),
        )
    )
    # without `rearmed` this end is not taken for that of the last attempt, which listeners have heard of
    return [release_on_end(lease), *ended, {"$unset": [*PARKED_FIELDS, "rearmed", *_turn(job, move)]}]


def _of_flow(job: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the effect that a bad end of a job has on its flow, if it has one."""
    return () if membership_of(job) is None else ("flow",)


def bad_effects(*effects: str) -> Document:
    """Expression for the effects of a job that ends badly, with that on its flow if it has one."""
    has_flow = {"$eq": [{"$type": "$flow"}, "objectId"]}
    return {"$concatArrays": [[*effects], {"$cond": [has_flow, ["flow"], []]}]}


def still_open() -> Document:
    """Expression for the joins that wait in vain for a job that ends badly: all but those that do not mind.

    Nothing for a job of no flow.
    """
    soft = {"$concatArrays": [{"$cond": [{"$isArray": "$soft"}, "$soft", []]}, ["$flow"]]}
    left: Document = {"$setDifference": [{"$cond": [{"$isArray": "$open"}, "$open", []]}, soft]}
    return {"$cond": [{"$eq": [left, []]}, "$$REMOVE", left]}


def _turn(job: Mapping[str, Any], move: Transition) -> list[str]:
    """Returns the field to remove from a job that ends by this move, so that others of its sequence pass it."""
    return [] if target(move) in DEAD_LETTERS and blocks_sequence(job) else ["turn"]


def cancel_update(lease: float, reason: str | None = None) -> list[Document]:
    """Cancels a live job; the places of a running job stay until its process is gone, see `release_on_end`."""
    values: Document = {"status": int(target(Transition.CANCEL))}
    if reason is not None:
        values["reason"] = reason
    return [
        release_on_end(lease),
        {
            "$set": {
                **literal(values),
                "pending": bad_effects("family", "hook"),
                "open": still_open(),
                "ended": "$$NOW",
            }
        },
        {"$unset": ["once", "turn", AWAITS, *PARKED_FIELDS]},
    ]


def claim_update(claim: str, boot: ObjectId, node: str) -> Document:
    """Starts an attempt on the node that was started as `boot`, and counts it."""
    return {
        "$set": {"status": _CLAIMED, "claim": claim, "boot": boot, "node": node},
        "$inc": {"attempt": 1},
        "$currentDate": {"claimed": True, "started": True, "alive": True},
    }


def take_turn_update(claim: str, boot: ObjectId, node: str) -> Document:
    """Does the same for a job that waits for the turn of its group; for any other job it is `claim_update`."""
    unpark = {"$rename": {"parked_at": "at"}, "$unset": {"blocked": ""}}
    return {**claim_update(claim, boot, node), **unpark}


def release_update(unmark: bool = False) -> Document:
    """Undoes a claim whose job has not started; the attempt is not counted. `unmark`: it is no suspect any more."""
    return {
        "$set": {"status": int(target(Transition.RELEASE)), "node": None, "started": None},
        "$inc": {"attempt": -1},
        "$unset": dict.fromkeys((*UNCLAIM, "suspect") if unmark else UNCLAIM, ""),
    }


def is_written(completion: Completion, job: Mapping[str, Any] | None) -> bool:
    """Whether a job, as it is stored now, shows that this end was written."""
    if job is None:
        return False
    if completion.verdict.status.is_final:
        return (job.get("status"), job.get("claim")) == (completion.verdict.status, completion.fence.claim)
    return str(job.get("rearmed", "")).startswith(f"{completion.fence.attempt}:")


def is_committed(fence: Fence, job: Mapping[str, Any] | None) -> bool:
    """Whether an attempt has ended its job as DONE itself."""
    found = job or {}
    return (found.get("status"), found.get("claim"), found.get("attempt")) == (Status.DONE, fence.claim, fence.attempt)


def completion_update(completion: Completion) -> UpdateMany:
    """Writes the end of one attempt behind its fence, whatever follows from it."""
    if completion.unstarted:
        unmark = completion.was_marked and completion.suspect is None
        return UpdateMany(completion.fence.filter(), release_update(unmark))
    status = completion.verdict.status
    if not status.is_final:
        return UpdateMany(completion.fence.filter(), rearm_update(completion))
    query = completion.fence.filter() | _as_known(completion)
    if status is Status.DONE and not completion.effects:
        return UpdateMany(query, done_update(completion))
    return UpdateMany(query, final_update(completion))


def _as_known(completion: Completion) -> Document:
    """Matches a job of a flow only as long as it has no more joins than are known: who ends it sees to all of them.

    One that commits ends in its own transaction; its node reads its joins afterwards.
    """
    known = None if completion.member is None or completion.commits else completion.member.stored
    return {} if known is None else {"joins": {"$size": known}}


def batch_done_update(first: Completion, ids: Sequence[ObjectId]) -> UpdateMany:
    """Writes the simple ends of jobs of one claim, with the times of the first of them.

    A claim takes a job only once, so it stands for the attempt.
    """
    query: Document = {"_id": {"$in": list(ids)}, "status": from_statuses(Transition.SUCCEED)}
    query |= {"claim": first.fence.claim, **_as_known(first)}
    change: Document = {"status": int(target(Transition.SUCCEED)), "progress": 100.0, "worker": first.worker}
    update: Document = {"$set": change} if first.member is None else {"$set": change, "$unset": {"open": ""}}
    return UpdateMany(query, _timed(first, update))


def _timed(completion: Completion, update: Document) -> Document:
    """Adds to a plain update when the attempt began and ended, and with how many others."""
    if completion.batched:
        update["$set"]["batched"] = completion.batched
    if completion.began:
        update["$set"]["started"] = as_date(completion.began)
    if completion.ended:
        update["$set"]["ended"] = as_date(completion.ended)
    else:
        update["$currentDate"] = {"ended": True}
    return update


def _started(completion: Completion) -> Any:
    """Returns, for a pipeline, when the attempt began."""
    return as_date(completion.began) if completion.began else "$started"


def _began(completion: Completion) -> Any:
    """Returns the same, and the present if the job does not say when that was."""
    return as_date(completion.began) if completion.began else date_or("$started", "$$NOW")


def _ended(completion: Completion) -> Any:
    return as_date(completion.ended) if completion.ended else "$$NOW"


def done_update(completion: Completion) -> Document:
    """Ends a job as DONE where nothing follows: a plain update, in which the server evaluates nothing."""
    change: Document = {"status": int(completion.verdict.status), "progress": 100.0, "worker": completion.worker}
    if completion.result is not None:
        change["result"] = completion.result
    if completion.progress.get("message") is not None:
        change["message"] = completion.progress["message"]
    removed = dict.fromkeys(
        (
            *("once", "error", AWAITS, *_marks_earned(completion)),
            *(("gate", "turn") if completion.keys else ()),
            *(("committing",) if completion.commits else ()),
            *(("open",) if completion.member is not None else ()),
        ),
        "",
    )
    return _timed(completion, {"$set": change, "$unset": removed})


def _marks_earned(completion: Completion) -> list[str]:
    """Returns the marks of a job that are taken away by the end of an attempt."""
    if not completion.was_marked:
        return []
    kept = ("suspect" if completion.suspect is not None else "", "signalled" if completion.signalled else "")
    return [name for name in MARKS if name not in kept]


def literal(values: Mapping[str, Any]) -> Document:
    """Quotes user data for a pipeline update, so that the server never evaluates it."""
    return {name: {"$literal": value} for name, value in values.items()}


def final_update(completion: Completion) -> list[Document]:
    """Gives a job its final status and its undelivered effects; plans the next run of a series in the same write."""
    done = completion.verdict.status is Status.DONE
    values: Document = {"status": int(completion.verdict.status), "worker": completion.worker, **completion.progress}
    values |= {"progress": 100.0, "result": completion.result} if done else {"error": completion.error}
    if completion.verdict.status in DEAD_LETTERS:
        values["fingerprint"] = completion.fingerprint or fingerprint_of(completion.error, completion.job)
    stage: Document = {**literal(values), "started": _started(completion), "ended": _ended(completion)}
    if completion.lost:
        stage["lost"] = {"$add": ["$lost", 1]}
    if completion.batched:
        stage["batched"] = completion.batched
    if completion.effects:
        stage["pending"] = {"$literal": list(completion.effects)}
    removed = [AWAITS, *(["error"] if done else []), *(MARKS if completion.was_marked else [])]
    if completion.commits:
        removed.append("committing")
    if completion.member is not None and done:
        removed.append("open")
    elif completion.member is not None:
        stage["open"] = still_open()
    if completion.verdict.plans_next and completion.series is not None:
        stage["next"] = _planned_run(completion, completion.series)
    else:
        removed.append("once")
    if completion.keys:
        keeps_turn = completion.keeps_turn and completion.verdict.status in DEAD_LETTERS
        removed += ["gate"] if keeps_turn else ["gate", "turn"]
    return [{"$set": stage}, {"$unset": removed}]


def _planned_run(completion: Completion, series: tuple[ObjectId, int]) -> Document:
    from_start = completion.interval_reference == "start"
    reference = _began(completion) if from_start else _ended(completion)
    at = "$$NOW" if completion.interval == -1 else {"$add": [reference, round(completion.interval * 1000)]}
    return {"_id": successor_id(series[0], series[1] + 1, ObjectId()), "at": at, "created": "$$NOW"}


def rearm_update(completion: Completion) -> list[Document]:
    """Queues a job again: the attempt moves to the list of attempts, and `rearmed` shows listeners how it ended."""
    move = completion.verdict.move
    status = _HANDED_ON.get(move, completion.ended_as)
    how = SNOOZED if status is Status.POSTPONED else "" if status is None else status.label
    stage: Document = {
        "status": {"$literal": int(completion.verdict.status)},
        "attempts": {"$slice": [{"$concatArrays": [LISTED, [_attempt_entry(completion, status)]]}, 1 - KEPT_ATTEMPTS]},
        "rearmed": {"$concat": [{"$toString": "$attempt"}, f":{how}"]},
        "worker": None,
        "node": None,
        "started": None,
        "progress": 0.0,
        **_counted(completion),
    }
    if completion.error is not None:
        stage["error"] = {"$literal": completion.error}
    if completion.batched:
        stage["batched"] = completion.batched
    if completion.suspect is not None:
        stage["suspect"] = {"$literal": completion.suspect}
    again, lapsed = completion.again, list[str]()
    if move is not Transition.RELEASE:
        pause = {"$add": [_ended(completion), round(completion.retry_interval * 1000)]}
        stage["at"] = pause if again is None else again.due(pause)
    if again is not None:
        window, lapsed = again.window(move, _began(completion))
        stage |= window
    if again is not None and again.awaits is not None:
        stage["awaits"] = {"$literal": dict(again.awaits)}
    else:
        lapsed = [*lapsed, AWAITS]
    frees_places = bool(completion.keys) and completion.verdict.status is not Status.WAITING
    removed = [*UNCLAIM, "message", *_marks_earned(completion), *(["gate"] if frees_places else []), *lapsed]
    return [{"$set": stage}, {"$unset": removed}]


def _counted(completion: Completion) -> Document:
    """Returns the counts of a job that is queued again."""
    counts: Document = {}
    if completion.lost:
        counts["lost"] = {"$add": ["$lost", 1]}
    if completion.signalled:
        counts["signalled"] = {"$add": [{"$ifNull": ["$signalled", 0]}, 1]}
    if completion.verdict.failures is not None:
        counts["service.failures"] = {"$literal": completion.verdict.failures}
    if completion.verdict.move is Transition.SNOOZE:
        asleep = completion.again is not None and completion.again.awaits is not None
        name = "sleeps" if asleep else "snoozes"
        counts[name] = {"$add": [{"$ifNull": [f"${name}", 0]}, 1]}
    elif completion.verdict.move is not Transition.RELEASE:
        counts["retries"] = {"$add": ["$retries", 1]}
    return counts


def _attempt_entry(completion: Completion, status: Status | None) -> Document:
    more: Document = {"charged": True} if completion.lost else {}
    if completion.reason is not None:
        more["reason"] = {"$literal": completion.reason}
    if completion.verdict.pause is not None and completion.verdict.failures is None:
        more["pause"] = {"$literal": completion.verdict.pause}
    if completion.again is not None and completion.fingerprint is not None:
        more["fingerprint"] = {"$literal": completion.fingerprint}  # should it be too late for the next one
    return {
        "attempt": "$attempt",
        "claimed": "$claimed",
        "started": _started(completion),
        "ended": _ended(completion),
        "node": "$node",
        "worker": {"$literal": completion.worker},
        "status": {"$literal": None if status is None else int(status)},
        "error": {"$literal": completion.error},
        **more,
    }
