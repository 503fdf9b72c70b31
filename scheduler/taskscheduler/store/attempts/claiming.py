"""Builds the updates that claim an attempt and take a claim back; all are safe to repeat."""

from __future__ import annotations

from bson import ObjectId

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Transition, target
from taskscheduler.store.control_updates import UNCLAIM

_CLAIMED = int(target(Transition.CLAIM))


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
