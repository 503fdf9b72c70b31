"""Translates the `schedule` of an entry of a beat_schedule into options of our schedules.

The objects are known by their fields, not by their classes, so nothing here needs Celery.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from taskscheduler.calendars.options import ScheduleOptions
from taskscheduler.errors import InvalidOptionError

#: the fields of a crontab in the order of cron, with their smallest and largest values there
_FIELDS = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day_of_month": (1, 31),
    "month_of_year": (1, 12),
    "day_of_week": (0, 6),
}
_RULE_PARTS = {"month_of_year": "BYMONTH", "day_of_month": "BYMONTHDAY", "hour": "BYHOUR", "minute": "BYMINUTE"}
_WEEKDAYS = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
_PLAIN = re.compile(r"[\d*,/-]+")  #: Celery has names of its own, and ranges that go over the end of the week


class UntranslatableError(ValueError):
    """Raised for what has no counterpart here; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a timetable is checked against: its schedule, the time zone of the application, and the time now."""

    name: str
    timezone: str
    now: datetime

    def accepts(self, times: Mapping[str, Any]) -> str | None:
        """Returns why a schedule cannot have these times, or None if it can."""
        try:
            ScheduleOptions.of(self.name, times, self.now)
        except InvalidOptionError as error:
            return str(error)
        return None


def times_of(schedule: Any, context: Context) -> dict[str, Any]:
    """Returns `every`, `cron` or `rrule` with the time zone, as the library accepts them; UntranslatableError."""
    schedule = getattr(schedule, "run_every", schedule)
    if isinstance(schedule, timedelta):
        schedule = schedule.total_seconds()
    if isinstance(schedule, int | float) and not isinstance(schedule, bool):
        return _accepted({"every": int(schedule) if schedule == int(schedule) else schedule}, context)
    if all(isinstance(getattr(schedule, field, None), Iterable) for field in _FIELDS):
        return _crontab(schedule, context)
    raise UntranslatableError(_why_not(schedule))


def _why_not(schedule: Any) -> str:
    if hasattr(schedule, "event") and hasattr(schedule, "lat"):
        return f"solar schedules such as {schedule.event!r} do not exist here; add a job at that time from a daily job"
    if hasattr(schedule, "clocked_time"):
        return f"it runs once; add the job with at={schedule.clocked_time!r}"
    return f"a schedule of the type {type(schedule).__name__} is unknown; give seconds, a timedelta or a crontab"


def _crontab(crontab: Any, context: Context) -> dict[str, Any]:
    values = {field: sorted(set(getattr(crontab, field))) for field in _FIELDS}
    zone = {} if context.timezone == "UTC" else {"timezone": context.timezone}
    if all(not _is_full(field, values[field]) for field in ("day_of_month", "day_of_week")):
        return _accepted({"rrule": _rule(values), **zone}, context)  # Celery wants both, cron either of them
    written = {"cron": " ".join(_written(crontab, field, values[field]) for field in _FIELDS), **zone}
    if context.accepts(written) is None:
        return written
    return _accepted({"cron": " ".join(_listed(field, values[field]) for field in _FIELDS), **zone}, context)


def _accepted(times: dict[str, Any], context: Context) -> dict[str, Any]:
    why_not = context.accepts(times)
    if why_not:
        raise UntranslatableError(why_not)
    return times


def _is_full(field: str, values: list[int]) -> bool:
    least, most = _FIELDS[field]
    return values == list(range(least, most + 1))


def _written(crontab: Any, field: str, values: list[int]) -> str:
    """Returns a field as the application wrote it, if that means the same here."""
    text = str(getattr(crontab, f"_orig_{field}", ""))
    return text if _PLAIN.fullmatch(text) else _listed(field, values)


def _listed(field: str, values: list[int]) -> str:
    return "*" if _is_full(field, values) else ",".join(map(str, values))


def _rule(values: Mapping[str, list[int]]) -> str:
    """Returns a rule for times that need a day of the month and a day of the week."""
    chosen = [(part, values[field]) for field, part in _RULE_PARTS.items() if not _is_full(field, values[field])]
    parts = [f"{part}={','.join(map(str, numbers))}" for part, numbers in chosen]
    days = ",".join(_WEEKDAYS[day] for day in values["day_of_week"])
    return ";".join(["FREQ=DAILY", f"BYDAY={days}", *parts, "BYSECOND=0"])
