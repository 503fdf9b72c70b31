"""Builds the next run of a series from the run that ended."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.solo import make_solo


def successor_id(series: ObjectId, seq: int, planned: ObjectId) -> ObjectId:
    """Returns the id of run `seq` of a series; it begins with the time of `planned`, so that ids sort by age.

    The write that ends a run stores this id with the plan, so every process adds the next run under the same id.
    """
    unique = hashlib.sha256(series.binary + seq.to_bytes(8, "big")).digest()
    return ObjectId(planned.binary[:4] + unique[:8])


def successor(ended: Mapping[str, Any]) -> Document:
    """Builds the document of the next run from an ended job that has the plan `next`."""
    plan = ended["next"]
    at_once = ended["options"]["interval"] == -1
    fresh: Document = {
        "_id": plan["_id"],
        "status": int(Status.WAITING if at_once else Status.POSTPONED),
        "at": plan["at"],
        "created": plan["created"],
        "started": None,
        "ended": None,
        "alive": plan["created"],
        "attempt": 0,
        "retries": 0,
        "lost": 0,
        "progress": 0.0,
        "worker": None,
        "seq": ended["seq"] + 1,
    }
    kept = ("class", "queue", "priority", "data", "options", "series", "parent", "tags", "hook", "async", "v")
    fresh |= {name: ended[name] for name in kept if name in ended}
    if "solo" in ended:
        make_solo(fresh, ended["solo"], plan["created"])
    return fresh
