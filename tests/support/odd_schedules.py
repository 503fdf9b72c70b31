"""What somebody else may have stored in the fields of a schedule."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from bson import DatetimeMS, Int64, ObjectId, Regex

from taskscheduler.model.control.keys import FAR
from taskscheduler.model.options import JobOptions
from tests.support.odd_documents import NO_UUID

_PART = 4  #: one in so many odd schedules is tried with every command, unless TASKSCHEDULER_FUZZ_PART says less

PAST = datetime(2020, 1, 1, tzinfo=UTC)

_LARGEST = Int64(2**63 - 1)

_JOB: dict[str, Any] = {"class": "noop", "queue": "default", "priority": 0, "options": JobOptions().stored()}

ODD: dict[str, Any] = {
    "_id": [5, {"a": 1}, ObjectId()],
    "rev": [None, "x", 1.5, True, -1, _LARGEST, {"$gt": 0}, Regex("(")],
    "job": [
        None,
        3,
        {"class": ["x"]},
        {"class": "x", "queue": 5, "options": {}},
        {"class": "x", "options": 7},
        {**_JOB, "options": {}},
        {**_JOB, "options": {**_JOB["options"], "timeout": "600"}},
        {**_JOB, "priority": [1, 2]},
        {**_JOB, "solo": ["k"]},
        {**_JOB, "class": NO_UUID},
    ],
    "times": [
        None,
        7,
        {"cron": [5]},
        {"every": "x"},
        {"rrule": 3, "timezone": []},
        {"cron": 5},
        {"exclude": [{}]},
        {"every": 60, "start": PAST.replace(year=1)},
        {"every": 60, "end": "x"},
        {"every": 60, "runs": "x"},
    ],
    "created": [None, "x", 5],
    "next_at": ["x", 5, {}, DatetimeMS(2**60), DatetimeMS(-(2**60)), datetime(1, 1, 1, tzinfo=UTC)],
    "last_at": ["x", {}],
    "last_id": [{}, ["x"], "x"],
    "cancelling": [{}, 5],
    "adding": [7, [5], [{"time": 5}]],
    "buffered": [7, ["x"]],
    "skipped_times": [7, [{}]],
    "boots": [7, [{}]],
    "owner": [{}, 5],
    "runs_made": ["x", {}, _LARGEST, -1, True],
    "skipped": ["x", {}, _LARGEST],
    "paused": [{}, "x"],
    "reason": [{}, 5],
    "due_at": ["x", 5, {}, [PAST], [FAR], DatetimeMS(2**60), DatetimeMS(-(2**60)), FAR],
}


def some(names: Iterable[str]) -> list[str]:
    """Some of these odd schedules: to try all commands with each takes minutes."""
    return sorted(names)[:: min(_PART, int(os.environ.get("TASKSCHEDULER_FUZZ_PART", str(_PART))))]
