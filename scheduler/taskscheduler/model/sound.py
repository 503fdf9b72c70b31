"""Reads the fields of a stored job as what they should be: anybody may have written anything there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bson import Code, ObjectId

from taskscheduler.model.lifecycle import Status

Shape = Callable[[Any], bool]


def _is(*types: type) -> Shape:
    return lambda value: isinstance(value, types) and not isinstance(value, bool)


def is_text(value: Any) -> bool:
    """Whether a stored value is a text. JavaScript, a text for Python, has a type of its own, and no hash."""
    return isinstance(value, str) and not isinstance(value, Code)


MOST_COUNTED = 2**53

_TEXT, _ID, _DATE, _MAPPING, _WHOLE = is_text, _is(ObjectId), _is(datetime), _is(Mapping), _is(int)

_SHAPES: Mapping[str, Shape] = {
    **dict.fromkeys(("class", "queue", "node", "worker", "claim", "solo", "message", "once", "dedupe"), _TEXT),
    **dict.fromkeys(("fingerprint", "reason", "schedule", "sequence", "group", "blocked"), _TEXT),
    **dict.fromkeys(("boot", "parent", "series"), _ID),
    **dict.fromkeys(("at", "created", "claimed", "started", "ended", "alive", "parked_at", "gate_until"), _DATE),
    **dict.fromkeys(("expires", "first_started", "scheduled_at", "due"), _DATE),
    **dict.fromkeys(("options", "service", "program", "error", "fields"), _MAPPING),
    **dict.fromkeys(("status", "attempt", "retries", "snoozes", "sleeps", "lost", "priority"), _WHOLE),
    **dict.fromkeys(("cpu",), lambda value: is_number(value) and value >= 0),
    **dict.fromkeys(("peak_memory", "exit_code", "signal"), lambda value: is_count(value)),
    "progress": lambda value: is_number(value) and 0 <= value <= 100,
    "tags": _is(list),
    "limits": _is(list),
    "gate": lambda value: is_text(value) or isinstance(value, list),
    "attempts": _is(list),
}


def is_number(value: Any) -> bool:
    """Whether a stored value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: Any) -> bool:
    """Whether a stored value is a number of things that can still be counted up."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_COUNTED


def sound(document: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """Returns a field of a job; the default if it is missing, or not what it should be."""
    value = document.get(name)
    return value if value is not None and _SHAPES[name](value) else default


def sound_job(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a job without the fields that are not what they should be.

    `status` and `attempt` are there: -1, which is no status, and 0 if they are not known.
    """
    fields = {name: value for name, value in document.items() if name not in _SHAPES or _SHAPES[name](value)}
    return {"status": -1, "attempt": 0, **fields}


def status_of(document: Mapping[str, Any]) -> Status:
    """Returns the status of a stored job, or of an entry in its list of attempts."""
    return as_status(document.get("status"))


def as_status(value: Any) -> Status:
    """Returns the status that a stored value stands for; for any other value one that is shown as `unreadable`."""
    return Status(-1 if isinstance(value, bool) else value)
