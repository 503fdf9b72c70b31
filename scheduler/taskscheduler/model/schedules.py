"""Builds the next run of a series from the run that ended, and the runs of schedules."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId

from taskscheduler.model.control.keys import CONTROL_FIELDS, hold_back
from taskscheduler.model.control.windows import WINDOW_OPTIONS
from taskscheduler.model.document import SCHEMA_VERSION, Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import check_repeatable, latest_start


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
        **_unstarted(plan["at"], plan["created"], ended["options"]),
        "seq": ended["seq"] + 1,
    }
    kept = (
        "class",
        "queue",
        "priority",
        "data",
        "options",
        "series",
        "parent",
        "tags",
        "hook",
        "async",
        "batch",
        "v",
        *CONTROL_FIELDS,
    )
    fresh |= {name: ended[name] for name in kept if name in ended}
    _hold_back(fresh, plan["created"])
    return fresh


def _unstarted(at: datetime, created: datetime, options: Mapping[str, Any]) -> Document:
    """Returns the fields of a job that has no attempt yet. Its option `start_by` counts from when it is due."""
    expires = latest_start(options.get("start_by"), max(at, created))
    return {
        "at": at,
        "created": created,
        "started": None,
        "ended": None,
        "alive": created,
        "attempt": 0,
        "retries": 0,
        "lost": 0,
        "progress": 0.0,
        "worker": None,
        **({} if expires is None else {"expires": expires}),
    }


#: the fields of a job that all runs of a schedule have alike
_TEMPLATE = ("class", "queue", "priority", "data", "options", "tags", "hook", "async", "batch", *CONTROL_FIELDS)


def job_template(document: Mapping[str, Any]) -> Document:
    """Returns the part of a new job document that all runs of a schedule have alike.

    InvalidOptionError for an option that would be of one run alone.
    """
    check_repeatable(document["options"].get("start_by"))
    options = {name: value for name, value in document["options"].items() if name not in WINDOW_OPTIONS}
    return {**{name: document[name] for name in _TEMPLATE if name in document}, "options": options}


def scheduled_run_id(schedule: str, time: datetime) -> ObjectId:
    """Returns the id of the run of a schedule at a time; it begins with that time, so that ids sort by age.

    Every process finds the same one, so that there is exactly one run for each time, whoever adds it.
    """
    stamp = int(time.timestamp() * 1000)
    unique = hashlib.sha256(f"{schedule}\0{stamp}".encode()).digest()
    return ObjectId((stamp // 1000 % 2**32).to_bytes(4, "big") + unique[:8])


def scheduled_run(schedule: str, template: Mapping[str, Any], time: datetime, at: datetime, now: datetime) -> Document:
    """Builds the run of a schedule at a time, which may start `at` that time or, with jitter, later."""
    document: Document = {
        "_id": scheduled_run_id(schedule, time),
        "status": int(Status.POSTPONED if at > now else Status.WAITING),
        **_unstarted(at, now, template.get("options", {})),
        "schedule": schedule,
        "scheduled_at": time,
        "v": SCHEMA_VERSION,
        **job_template(template),
    }
    _hold_back(document, now)
    return document


def _hold_back(document: Document, now: datetime) -> None:
    """Has a run wait for its controls. Its turn in a sequence is the time in microseconds, as the counter gives it."""
    if "sequence" in document:
        document["turn"] = int(now.timestamp() * 1_000_000)
    hold_back(document, now)


def redefined_wholly(known: Mapping[str, Any], anew: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a schedule that nothing is kept of; None for those to remove."""
    return {name: anew.get(name) for name in {*known, *anew} - {"_id", "rev"}}
