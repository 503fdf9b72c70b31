"""Builds the updates that park and admit controlled jobs, and that extend and release the places of ended ones.

The fields that carry it in a job: see `model/control/keys.py`, and

gate_until  until when a job that was ended while it ran keeps its places. Its node releases them as soon as the process
            is gone, and extends them at each sweep while the process is there; if the node is lost they are free
turn        the place of a job in its sequence, while it is live or blocks that; lower ones run first
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taskscheduler.model.control.keys import (
    FAR,
    GROUP,
    HIGHEST,
    LIMIT,
    LOWEST,
    MARK,
    PARKED_FIELDS,
    PRIORITY_BASE,
    SEQUENCE,
    SOLO,
    first_list,
    is_controlled,
)
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status, Transition, target
from taskscheduler.store.lenient_reads import date_or, seconds_or_zero

#: fields that a job loses when it is queued again; without the key of the option `dedupe` it blocks no other job
UNCLAIM = ["claim", "claimed", "boot", "dedupe", "child_alive", "committing"]

_BEYOND_LEASE = 5.0  #: seconds; by then every process of a node whose lease has ended is gone


def park_update() -> list[Document]:
    """Parks a controlled job that is due in the list of its first control, so that it is not found as due again."""
    return [{"$set": _parked()}]


def _parked() -> Document:
    return {"parked_at": "$at", "at": {"$literal": FAR}, "blocked": own_list()}


def own_list(but_group: bool = False) -> Document:
    """Expression for the list of the first control of a job, as `first_list` tells it; perhaps but its group."""
    is_text = {name: {"$eq": [{"$type": f"${name}"}, "string"]} for name in ("sequence", "solo", "group", "queue")}
    first: Document = {"$arrayElemAt": [{"$cond": [{"$isArray": "$limits"}, "$limits", [None]]}, 0]}
    ranked = [{"$gte": ["$priority", LOWEST]}, {"$lte": ["$priority", HIGHEST]}]  # numbers, as others sort elsewhere
    in_group = {"case": {"$and": [is_text["group"], is_text["queue"], *ranked]}, "then": _group_list()}
    branches = [
        *([] if but_group else [in_group]),
        {"case": is_text["sequence"], "then": {"$concat": [f"{SEQUENCE}:", "$sequence"]}},
        {"case": {"$eq": [{"$type": first}, "string"]}, "then": {"$concat": [f"{LIMIT}:", first]}},
        {"case": is_text["solo"], "then": {"$concat": [f"{SOLO}:", "$solo"]}},
    ]
    return {"$switch": {"branches": branches, "default": None}}


def _group_list() -> Document:
    """Expression for the key of the list of a group; see `GroupList`."""
    number = {"$toString": {"$add": [{"$toLong": "$priority"}, PRIORITY_BASE]}}
    mark = {"$literal": MARK}
    return {"$concat": [f"{GROUP}:", "$queue", mark, number, mark, "$group"]}


def admit_update(gate: str | list[str]) -> list[Document]:
    """Gives a parked job its places, so that it waits for a slot; the unique index refuses one that is taken.

    A job that was parked for another reason gets none: an empty list would be a place for the index.
    """
    stage: Document = {
        "status": {"$literal": int(target(Transition.PROMOTE))},
        "at": "$parked_at",
        "alive": "$$NOW",
        **({"gate": {"$literal": gate}} if gate else {}),
    }
    return [{"$set": stage}, {"$unset": [*PARKED_FIELDS]}]


def recall_update(blocked: str | None = None) -> list[Document]:
    """Takes its places from a job that waits for a slot, and parks it in this list, or that of its first control."""
    stage = {"status": {"$literal": int(target(Transition.PARK))}, **_parked()}
    if blocked is not None:
        stage["blocked"] = {"$literal": blocked}
    return [{"$set": stage}, {"$unset": ["gate"]}]


def defer_update(blocked: str) -> list[Document]:
    """Hands back a claimed job that has not begun, and parks it; the attempt is not counted."""
    stage = {
        "status": {"$literal": int(target(Transition.DEFER))},
        "parked_at": "$at",
        "at": {"$literal": FAR},
        "blocked": {"$literal": blocked},
        "attempt": {"$subtract": ["$attempt", 1]},
        **dict.fromkeys(("node", "started"), None),
    }
    return [{"$set": stage}, {"$unset": ["gate", *UNCLAIM]}]


def release_on_end(lease: float) -> Document:
    """Pipeline stage that releases the places of a job that is cancelled or failed; comes before the status changes.

    A running job keeps them until its process is gone: a tracked program until its silence timeout has passed, a
    job of a node until the node releases them, or for `lease` seconds if the node has died.
    """
    running = {"$eq": ["$status", int(Status.PROCESSING)]}
    silent = silent_at("$options.silence_timeout")
    killed = {"$add": ["$$NOW", round((lease + _BEYOND_LEASE) * 1000)]}
    holds = {"$and": [running, {"$ne": [{"$type": "$gate"}, "missing"]}]}
    latest = {"$add": ["$$NOW", {"$multiply": [seconds_or_zero("$options.silence_timeout"), 1000]}]}
    reported = {"$max": [killed, {"$min": [silent, latest]}]}  # whatever date its last sign of life has
    until = {"$cond": [{"$eq": [{"$type": "$program"}, "missing"]}, killed, reported]}
    return {
        "$set": {
            "gate_until": {"$cond": [holds, until, "$$REMOVE"]},
            "gate": {"$cond": [running, "$gate", "$$REMOVE"]},
            "at": {"$ifNull": ["$parked_at", "$at"]},
        }
    }


def silent_at(seconds: str) -> Document:
    """Expression for the date so many seconds after the last sign of life; null if that is no date."""
    return {"$add": [date_or("$alive", None), {"$multiply": [seconds_or_zero(seconds), 1000]}]}


def extend_update(lease: float) -> list[Document]:
    """Keeps the places of a cancelled job whose process is still there for another lease."""
    until = {"$add": ["$$NOW", round((lease + _BEYOND_LEASE) * 1000)]}
    return [{"$set": {"gate_until": {"$max": ["$gate_until", until]}}}]


def requeue_stage(job: Mapping[str, Any], later: datetime | None = None) -> Document:
    """Returns the fields that an ended controlled job gets when it is put back in the queue; empty for any other job.

    It is parked, unless it is due `later`: then it will be when that time has come. In a sequence that it does not
    block, it comes last.
    """
    if not is_controlled(job):
        return {}
    stage: Document = {"status": {"$literal": int(target(Transition.REQUEUE_CONTROLLED))}}
    if "sequence" in job:
        stage["turn"] = {"$ifNull": ["$turn", {"$multiply": [{"$toLong": "$$NOW"}, 1000]}]}
    if later is not None:
        return stage
    first = first_list(job)
    return {**stage, "at": {"$literal": FAR}, "parked_at": "$$NOW", "blocked": {"$literal": first}}
