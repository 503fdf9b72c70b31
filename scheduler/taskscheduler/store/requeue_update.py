"""Builds the update that puts an ended job back in the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskscheduler.model.attempts.cost import COST_FIELDS
from taskscheduler.model.changes import ONCE_MORE, Requeue
from taskscheduler.model.control.keys import FAR, FLOW
from taskscheduler.model.document import Document
from taskscheduler.model.flows.membership import FALLEN, comes_after
from taskscheduler.model.lifecycle import DEAD_LETTERS, Status, Transition, target
from taskscheduler.store.attempts.completion import AWAITS, LISTED, MARKS, WINDOW
from taskscheduler.store.attempts.ending import KEPT_ATTEMPTS, literal
from taskscheduler.store.control_updates import UNCLAIM, requeue_stage

_LARGE_ATTEMPT = 64 * 1024  #: bytes of an entry; a larger one loses the data when later ones are changed


def requeue_update(job: Mapping[str, Any], again: Requeue = ONCE_MORE, at: Any = None) -> list[Document]:
    """Puts an ended job back in the queue as it was added, but for what `again` changes; its attempts go on.

    A run of a series is retried on its own: the series has planned its next run already, or was cancelled. `at`: an
    expression for the date in `again`, if the update is for several jobs.
    """
    later = again.at is not None
    stage: Document = {
        "status": {"$literal": int(target(Transition.REQUEUE_LATER if later else Transition.REQUEUE))},
        "attempts": _attempts_with_last(again),
        "at": (at or again.at) if later else "$$NOW",
        "alive": "$$NOW",
        **literal({"started": None, "ended": None, "worker": None, "node": None}),
        **literal({"retries": 0, "lost": 0, "progress": 0.0}),
    }
    stage |= requeue_stage({**job, **again.fields}, again.at)
    stage |= _flow_stage(job, again)
    removed = [
        *UNCLAIM,
        *MARKS,
        *WINDOW,
        AWAITS,
        "snoozes",
        "sleeps",
        "message",
        "error",
        "fingerprint",
        "result",
        "pending",
    ]
    removed += ["gate", "gate_until", "reason", FALLEN, *COST_FIELDS]
    if "series" in job:
        stage["options.interval"] = {"$literal": 0}
        removed += ["series", "seq"]
    if "once_key" in job:
        stage["once"] = "$once_key"
    changed, dropped = divided(again.fields)
    return [{"$set": {**stage, **literal(changed)}}, {"$unset": [*removed, *dropped]}]


def _flow_stage(job: Mapping[str, Any], again: Requeue) -> Document:
    """Returns the fields of a job of a flow: others wait for it again, and it for others unless it has begun before."""
    stage: Document = {"open": "$joins"} if "joins" in job else {}
    if comes_after(job) is not None:
        stage |= {"status": {"$literal": int(target(Transition.REQUEUE_LATER))}, "at": {"$literal": FAR}}
        stage |= {"parked_at": again.at or "$$NOW", "blocked": {"$concat": [f"{FLOW}:", {"$toString": "$after"}]}}
    return stage


def divided(fields: Mapping[str, Any]) -> tuple[Document, list[str]]:
    """Divides changes into the fields to set and the names of those to remove; data may be None."""
    removed = [name for name, value in fields.items() if value is None and name != "data"]
    return {name: value for name, value in fields.items() if name not in removed}, removed


def _attempts_with_last(again: Requeue) -> Document:
    """Adds the last attempt, if there was one, to the list of attempts; with its data if they change."""
    names = ("attempt", "claimed", "started", "ended", "node", "worker", "status", "error", "result", "reason")
    last: Document = {name: f"${name}" for name in (*names, *COST_FIELDS)}
    last["due"] = {"$max": ["$created", "$at"]}
    is_faulty = {"$in": ["$status", sorted(map(int, DEAD_LETTERS))]}
    last["error"] = {"$cond": [is_faulty, "$error", None]}  # else it is that of an earlier attempt
    listed: Any = {"$or": [{"$ne": ["$started", None]}, {"$eq": ["$status", int(Status.FAILED)]}]}
    # only the last result is kept, and small data: many of them could outgrow a document; no charge counts any more
    kept: Document = {"$unsetField": {"field": "result", "input": "$$this"}}
    kept = {"$unsetField": {"field": "charged", "input": kept}}
    if "data" in again.fields:
        last["data"], listed = "$data", True
        is_large = {"$gt": [{"$bsonSize": "$$this"}, _LARGE_ATTEMPT]}
        kept = {"$cond": [is_large, {"$unsetField": {"field": "data", "input": kept}}, kept]}
    if again.reason is not None:
        last["retried"] = {"$literal": again.reason}
    is_entry = {"$eq": [{"$type": "$$this"}, "object"]}
    earlier = {"$map": {"input": {"$filter": {"input": LISTED, "cond": is_entry}}, "in": kept}}
    return {"$slice": [{"$concatArrays": [earlier, {"$cond": [listed, [last], []]}]}, 1 - KEPT_ATTEMPTS]}
