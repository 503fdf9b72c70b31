"""Writes durations such as `90s`, `1h30m` and `2d`, and reads points in time for `--at`."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from taskscheduler.model.filters.durations import PLAIN, UNITS, TimeError, parse_duration

#: a smaller number would be a unix time before 2001; people who write it mean seconds from now
_OLDEST_UNIX_TIME = 1_000_000_000


def parse_at(text: str) -> float | int | datetime | timedelta:
    """Returns a point in time from a unix time, an ISO date with a time zone, or a duration from now.

    Raises TimeError for anything else.
    """
    wanted = text.strip()
    if PLAIN.fullmatch(wanted):
        return _unix_time(wanted)
    try:
        return timedelta(seconds=parse_duration(wanted))
    except OverflowError:
        raise TimeError(f"{text!r} is too far in the future") from None
    except TimeError:
        return _date(wanted)


def _unix_time(text: str) -> float | int:
    value = float(text)
    if value != 0 and value < _OLDEST_UNIX_TIME:
        raise TimeError(f"{text} is not a plausible unix time; for {text} seconds from now write {text.lstrip('+-')}s")
    return int(value) if value.is_integer() else value


def _date(text: str) -> datetime:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise TimeError(
            f"{text!r} is not a point in time; "
            "give a unix time, a date such as 2026-11-21T08:00:00+01:00, or 90s, 5m, 1h30m, 2d"
        ) from None
    if date.tzinfo is None:
        raise TimeError(f"{text!r} has no time zone; append Z or an offset such as +01:00 (a date needs a time, too)")
    return date


def brief(seconds: Any) -> str:
    """Returns a duration for people: its two largest units, and a fraction only below ten seconds.

    A stored value that is no duration is returned as a text.
    """
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return str(seconds)
    if seconds < 0:
        return "-" + brief(-seconds)
    if 0 < seconds < 0.0995:
        return f"{max(1, round(seconds * 1000))}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole, shown = round(seconds), []
    units = [(unit, int(size)) for unit, size in UNITS.items() if unit not in ("w", "ms")]
    largest = next(index for index, (_, size) in enumerate(units) if whole >= size)
    for unit, size in units[largest : largest + 2]:
        count, whole = divmod(whole, size)
        shown += [f"{count}{unit}"] if count else []
    return "".join(shown)
