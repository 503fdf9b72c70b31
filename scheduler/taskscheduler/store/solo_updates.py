"""Builds the updates that take, extend and release the lock of a solo key. The fields that carry it in a job:

solo        the key; every solo job has it
gate        the same key while this job holds the lock; a unique index lets one job of a key have it
gate_until  until when a job that was ended while it ran keeps the lock. Its node releases it as soon as the process
            is gone, and extends it at each sweep while the process is there; if the node is lost the lock is free
parked_at   the due time of a job that waits for the lock
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status, Transition, target
from taskscheduler.model.solo import FAR

_BEYOND_LEASE = 5.0  #: seconds; by then every process of a node whose lease has ended is gone


def park_update() -> list[Document]:
    """Parks a solo job that is due, so that it is not found among the due jobs again."""
    return [{"$set": {"parked_at": "$at", "at": {"$literal": FAR}}}]


def acquire_update(key: str) -> list[Document]:
    """Gives the lock of a key to a parked job; the unique index refuses it if another job holds the lock."""
    stage = {
        "status": {"$literal": int(target(Transition.PROMOTE))},
        "gate": {"$literal": key},
        "at": "$parked_at",
        "alive": "$$NOW",
    }
    return [{"$set": stage}, {"$unset": ["parked_at"]}]


def release_on_end(lease: float) -> Document:
    """Pipeline stage that releases the solo lock of a job that is cancelled or failed; comes before the status changes.

    A running job keeps the lock until its process is gone: a tracked program until its silence timeout has passed, a
    job of a node until the node releases it, or for `lease` seconds if the node has died.
    """
    running = {"$eq": ["$status", int(Status.PROCESSING)]}
    silent = silent_at({"$cond": [{"$isNumber": "$options.silence_timeout"}, "$options.silence_timeout", 0]})
    killed = {"$add": ["$$NOW", round((lease + _BEYOND_LEASE) * 1000)]}
    holds = {"$and": [running, {"$ne": [{"$type": "$gate"}, "missing"]}]}
    until = {"$cond": [{"$eq": [{"$type": "$program"}, "missing"]}, killed, {"$max": [killed, silent]}]}
    return {
        "$set": {
            "gate_until": {"$cond": [holds, until, "$$REMOVE"]},
            "gate": {"$cond": [running, "$gate", "$$REMOVE"]},
            "at": {"$ifNull": ["$parked_at", "$at"]},
        }
    }


def silent_at(seconds: Any) -> Document:
    """Expression for the date so many seconds after the last sign of life; null if that is no date."""
    later = {"$add": ["$alive", {"$multiply": [seconds, 1000]}]}
    return {"$cond": [{"$eq": [{"$type": "$alive"}, "date"]}, later, None]}


def extend_update(lease: float) -> list[Document]:
    """Keeps the lock of a cancelled job whose process is still there for another lease."""
    until = {"$add": ["$$NOW", round((lease + _BEYOND_LEASE) * 1000)]}
    return [{"$set": {"gate_until": {"$max": ["$gate_until", until]}}}]


def requeue_stage(job: Mapping[str, Any]) -> Document:
    """Returns the fields that park an ended solo job when it is put back in the queue; empty for any other job."""
    if "solo" not in job:
        return {}
    return {
        "status": {"$literal": int(target(Transition.REQUEUE_SOLO))},
        "at": {"$literal": FAR},
        "parked_at": "$$NOW",
    }
