"""Reads the values of a filter: texts with `*`, dates, numbers and data, as conditions of a MongoDB query.

Each function raises FilterError, whose text says what is wrong with the value and what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.model.checks import LONGEST, as_object_id
from taskscheduler.model.filters.durations import TimeError, parse_duration

ORDERS = {">=": "$gte", "<=": "$lte", ">": "$gt", "<": "$lt"}

ANY = "*"

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)

_WORDS = {"true": True, "false": False, "null": None}

_MOST = 2**63  #: the first whole number that BSON cannot hold

_MOST_DIGITS = 400

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

_DATES = "give a time ago (-2h, -1h30m, -7d), to come (+1h), or a date (2026-11-21, 2026-11-21T08:00Z)"


class FilterError(ValueError):
    """A part of a filter is wrong; the message says how, and what is allowed."""


class Value(NamedTuple):
    """A value as it was written; in quotes every character stands for itself."""

    text: str
    quoted: bool = False

    def __str__(self) -> str:
        if not self.quoted:
            return self.text
        return '"' + self.text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    @property
    def is_pattern(self) -> bool:
        """Whether it holds a `*`, which stands for any characters."""
        return not self.quoted and ANY in self.text


def any_text(values: Sequence[Value]) -> Any:
    """Returns the condition for a text that equals one of these, or fits a pattern."""
    if any(not value.text for value in values):
        raise FilterError("a value must not be empty")
    if any(value == Value(ANY) for value in values):
        return {"$exists": True}
    wanted = [pattern(value.text) if value.is_pattern else value.text for value in values]
    return wanted[0] if len(wanted) == 1 else {"$in": wanted}


def pattern(text: str) -> re.Pattern[str]:
    """Returns the expression for a text in which `*` stands for any characters; the beginning lets an index help."""
    parts = [re.escape(part) for part in text.split(ANY)]
    middle = ".*".join(parts).removesuffix(".*")
    return re.compile(f"^{middle}" + ("" if text.endswith(ANY) else "$"), re.DOTALL)


def containing(text: str) -> re.Pattern[str]:
    """Returns the expression for texts that contain this one, whatever its case."""
    return re.compile(re.escape(text), re.IGNORECASE)


def an_id(value: Value) -> ObjectId:
    """Returns the id of a job."""
    found = as_object_id(value.text)
    if not isinstance(found, ObjectId):
        raise FilterError("give the 24 hexadecimal digits of a job's id")
    return found


def compared(operator: str, value: Any) -> Any:
    """Returns the condition for a field that is compared with a value."""
    return {ORDERS[operator]: value} if operator else value


def number(value: Value) -> float | int:
    """Returns a number."""
    found = _as_number(value)
    if found is None:
        raise FilterError("give a number")
    return found


def _as_number(value: Value) -> float | int | None:
    if value.quoted or not _NUMBER.fullmatch(value.text):
        return None
    if len(value.text) > _MOST_DIGITS:
        raise FilterError("this number has too many digits")
    found: float | int = int(value.text) if value.text.lstrip("+-").isdecimal() else float(value.text)
    if isinstance(found, float) and found in (float("inf"), float("-inf")):
        raise FilterError("this number is too large")
    if isinstance(found, int) and not -_MOST <= found < _MOST:
        raise FilterError("a whole number has at most 64 bits; in quotes it is a text")
    return found


def moment(operator: str, value: Value, now: datetime) -> Any:
    """Returns the condition for a date; without an operator it must be a day, in UTC."""
    if operator:
        return compared(operator, _moment(value, now))
    if not _DAY.fullmatch(value.text):
        raise FilterError("compare it, such as >-2h or <2026-11-21, or give a day, such as 2026-11-21")
    day = _moment(value, now)
    return {"$gte": day, "$lt": _later(day, timedelta(days=1))}


def _moment(value: Value, now: datetime) -> datetime:
    text = value.text
    if text == "now":
        return now
    if text[:1] in ("+", "-"):
        return _later(now, timedelta(seconds=_seconds(text[1:]) * (-1 if text[0] == "-" else 1)))
    try:
        date = datetime.fromisoformat(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise FilterError(_DATES) from None


def _later(date: datetime, by: timedelta) -> datetime:
    try:
        return date + by
    except OverflowError:
        raise FilterError("this is beyond the calendar") from None


def _seconds(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except TimeError:
        raise FilterError(_DATES) from None
    if seconds > LONGEST:
        raise FilterError("this is more than a century")
    return seconds


def datum(operator: str, value: Value) -> Any:
    """Returns the condition for a value in the data: a number, `true`, `false`, `null`, or else a text.

    Digits of an id find the id and the text. In quotes everything is a text.
    """
    if (found := _as_number(value)) is not None:
        return compared(operator, found)
    if operator:
        return compared(operator, value.text)
    if not value.quoted and value.text in _WORDS:
        return _WORDS[value.text]
    if value.is_pattern:
        return {"$exists": True} if value.text == ANY else pattern(value.text)
    job_id = as_object_id(value.text)
    return {"$in": [value.text, job_id]} if isinstance(job_id, ObjectId) and not value.quoted else value.text
