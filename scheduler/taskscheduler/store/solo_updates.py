"""Pure: how the turn of a solo job is written; see taskscheduler.solo.

solo        the key; every solo job has it
gate        the same key, as long as it is this job's turn; one job of a key can have it
gate_until  the gate of a job that was ended from outside while it ran: until its node says that its process is gone,
            or is lost; or until then, which a living node puts off at each of its sweeps as long as the process is
            there
parked_at   the time of a job that is due and waits for its turn
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status, Transition, target
from taskscheduler.model.solo import FAR

_BEYOND_LEASE = 5.0  #: seconds; after this nothing is left of what a node ran whose lease has ended


def park_update() -> list[Document]:
    """The update of a solo job that is due: it leaves those that wait for their time."""
    return [{"$set": {"parked_at": "$at", "at": {"$literal": FAR}}}]


def acquire_update(key: str) -> list[Document]:
    """The update that gives a parked job its turn; refused by the index if another one has it."""
    stage = {
        "status": {"$literal": int(target(Transition.PROMOTE))},
        "gate": {"$literal": key},
        "at": "$parked_at",
        "alive": "$$NOW",
    }
    return [{"$set": stage}, {"$unset": ["parked_at"]}]


def release_on_end(lease: float) -> Document:
    """The stage, before the status changes, that ends the turn of a job which is ended from outside.

    One that runs keeps the gate until nothing can be left of it: a program that only knows its database until it has
    been silent for too long, a job of a node until the node says so, or for its `lease` if the node has died.
    """
    running = {"$eq": ["$status", int(Status.PROCESSING)]}
    silent = {"$add": ["$alive", {"$multiply": [{"$ifNull": ["$options.silence_timeout", 0]}, 1000]}]}
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


def extend_update(lease: float) -> list[Document]:
    """The update by which a node keeps the turn of a job that was ended from outside and is still there."""
    until = {"$add": ["$$NOW", round((lease + _BEYOND_LEASE) * 1000)]}
    return [{"$set": {"gate_until": {"$max": ["$gate_until", until]}}}]


def queued_again(job: Mapping[str, Any]) -> Document:
    """What sets an ended solo job apart from others when it is put back to the queue; nothing for the others."""
    if "solo" not in job:
        return {}
    return {
        "status": {"$literal": int(target(Transition.REQUEUE_SOLO))},
        "at": {"$literal": FAR},
        "parked_at": "$$NOW",
    }
