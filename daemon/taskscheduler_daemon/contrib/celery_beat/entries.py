"""Translates the entries of a beat_schedule into calls of `scheduler.schedules.add`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import checked
from taskscheduler.model.options import JOB_CHECKS
from taskscheduler.model.services import service_name
from taskscheduler_daemon.contrib.celery_beat.timetables import Context, UntranslatableError, times_of

_SAME = {"queue": "queue", "expires": "start_by", "time_limit": "timeout"}  #: options of Celery, and ours
_WITHOUT_EFFECT = {"retry", "retry_policy", "ignore_result"}  #: what sending a message and keeping a result need there


@dataclass(frozen=True, slots=True)
class Translated:
    """What became of one entry: the call that adds its schedule, and what of it was left out, or why there is none."""

    name: str
    call: str | None
    remarks: tuple[str, ...] = ()


def translated(name: Any, entry: Any, timezone: str, now: datetime) -> Translated:
    """Returns what one entry of a beat_schedule is here."""
    try:
        return _translated(service_name("name", name), entry, Context(name, timezone, now))
    except (UntranslatableError, InvalidOptionError) as error:
        return Translated(str(name), None, (str(error),))


def _translated(name: str, entry: Any, context: Context) -> Translated:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("task"), str) or "schedule" not in entry:
        raise UntranslatableError("it is no mapping with the keys 'task', a name, and 'schedule'")
    options, remarks = _options(entry.get("options") or {})
    given = {**times_of(entry["schedule"], context), **options}
    data = _data(entry.get("args") or (), entry.get("kwargs") or {})
    places = [repr(name), repr(entry["task"]), *([] if data is None else [data])]
    named = [f"{option}={value!r}" for option, value in given.items()]
    return Translated(name, f"scheduler.schedules.add({', '.join([*places, *named])})", remarks)


def _data(args: Any, kwargs: Any) -> str | None:
    """Returns the data as source text, or None if there are none."""
    if args and kwargs:
        raise UntranslatableError("it has args and kwargs; give all arguments by name, in kwargs")
    if not args and not kwargs:
        return None
    data = dict(kwargs) if kwargs else list(args)
    try:
        same = ast.literal_eval(repr(data)) == data
    except (ValueError, SyntaxError):
        same = False
    if not same:
        raise UntranslatableError(f"its arguments {data!r:.80} are no plain literals; write this schedule by hand")
    return repr(data)


def _options(given: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns our options for those of Celery, and a remark for each that has no counterpart."""
    found: dict[str, Any] = {}
    remarks = []
    for option, value in given.items():
        ours = _SAME.get(option)
        if option in _WITHOUT_EFFECT or value is None:
            continue
        if ours is None or isinstance(value, datetime):
            remarks.append(_left_out(option, value))
        else:
            found[ours] = _plain(value)
    checked(found, JOB_CHECKS)
    return found, tuple(remarks)


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return getattr(value, "name", value)  # a Queue of kombu


def _left_out(option: str, value: Any) -> str:
    if option == "priority":
        return f"priority {value!r} is left out: here higher numbers run first, in Celery the broker decides"
    return f"option {option} is left out: {value!r:.80}"
