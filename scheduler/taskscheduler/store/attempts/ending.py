"""Builds the updates that end an attempt, or have its job run again; all are safe to repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo import UpdateMany

from taskscheduler.model.document import Document
from taskscheduler.model.failures import fingerprint_of
from taskscheduler.model.lifecycle import DEAD_LETTERS, Status, Transition, target
from taskscheduler.model.schedules import successor_id
from taskscheduler.store.attempts.claiming import release_update
from taskscheduler.store.attempts.completion import AWAITS, LISTED, MARKS, SNOOZED, Completion, as_date
from taskscheduler.store.attempts.of_flows import still_open
from taskscheduler.store.control_updates import UNCLAIM
from taskscheduler.store.fence import BY_ID, from_statuses
from taskscheduler.store.lenient_reads import date_or

KEPT_ATTEMPTS = 20

#: seconds; an end that is written later has the time of the write, so that who reads what has changed finds it
LATEST_END = 1.0

#: the status of an attempt, in the list of attempts, that has neither failed nor timed out
_HANDED_ON: Mapping[Transition, Status | None] = {
    Transition.RELEASE: None,
    Transition.SNOOZE: Status.POSTPONED,
}


def completion_update(completion: Completion) -> UpdateMany:
    """Writes the end of one attempt behind its fence, whatever follows from it."""
    if completion.unstarted:
        unmark = completion.was_marked and completion.suspect is None
        return UpdateMany(completion.fence.filter(), release_update(unmark), hint=BY_ID)
    status = completion.verdict.status
    if not status.is_final:
        return UpdateMany(completion.fence.filter(), rearm_update(completion), hint=BY_ID)
    query = completion.fence.filter() | _as_known(completion)
    if status is Status.DONE and not completion.effects:
        return UpdateMany(query, done_update(completion), hint=BY_ID)
    return UpdateMany(query, final_update(completion), hint=BY_ID)


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
    return UpdateMany(query, _timed(first, update), hint=BY_ID)


def results_update(ends: Sequence[Completion]) -> UpdateMany:
    """Writes the ends of first attempts of one claim that have nothing but a result, each with its own times.

    A statement for each takes the server twice as long: 130 us instead of 50 to 65.
    """
    ids = [one.fence.job_id for one in ends]
    _, claim, attempt = ends[0].fence
    query = {"_id": {"$in": ids}, "status": from_statuses(Transition.SUCCEED), "claim": claim, "attempt": attempt}
    fields = {"$literal": [done_update(one)["$set"] for one in ends]}
    own = {"$arrayElemAt": [fields, {"$indexOfArray": [{"$literal": ids}, "$_id"]}]}
    return UpdateMany(query, [{"$replaceWith": {"$mergeObjects": ["$$ROOT", own]}}], hint=BY_ID)


def _timed(completion: Completion, update: Document) -> Document:
    """Adds to a plain update when the attempt began and ended, with how many others, and what it cost."""
    update["$set"] |= completion.cost.stored()
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
    stage |= _cost(completion)
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


def _cost(completion: Completion) -> Document:
    """Returns what the attempt cost, and how its worker ended if it died with it."""
    return literal({**completion.cost.stored(), **completion.died})


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
        "due": {"$max": ["$created", "$at"]},
        **_cost(completion),
        **more,
    }
