"""Reads cron expressions. cronsim computes their times; the macros, `H`, `?` and the checks are added here.

Times that a change of the clocks skips or repeats are handled as Debian's cron does it: a fixed time that is skipped
runs once, at the first instant after the gap, and one that comes twice runs once, the first time; an expression whose
minutes or hours are `*` follows elapsed time.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from taskscheduler.calendars.minutes import minutes_of
from taskscheduler.calendars.stable import stable_number
from taskscheduler.calendars.zones import at_wall_time
from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import near_miss

if TYPE_CHECKING:
    from cronsim import CronSim

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_FIELDS = ("second", "minute", "hour", "day of the month", "month", "day of the week")
_ALLOWED = (
    "0-59",
    "0-59",
    "0-23",
    "1-31, L (the last day) or LW (the last weekday)",
    "1-12 or JAN-DEC",
    "0-7 or SUN-SAT, 5L (the last Friday) or 1#3 (the third Monday)",
)
#: what `H` chooses from; no day of a month that some months do not have
_HASHED = ((0, 59), (0, 59), (0, 23), (1, 28), (1, 12), (0, 6))
_H = re.compile(r"H(?:\((\d{1,2})-(\d{1,2})\))?(?:/(\d{1,2}))?", re.ASCII)
_ONE_OF_ONE = re.compile(r"(\w+)-\1/\d+", re.ASCII)  #: which cronsim reads as an open range
_DAY, _WEEKDAY = 3, 5

#: from here it must find a time within 50 years, or it never does
_ANY_MOMENT = datetime(2024, 1, 1, tzinfo=UTC)
_YEARS = 50
_SECOND, _QUARTER = timedelta(seconds=1), timedelta(minutes=15)


class CronTimes:
    """The times of one cron expression in a time zone."""

    def __init__(self, expression: Any, where: ZoneInfo, name: str = "", *, seconds: bool = False) -> None:
        """`name` decides where `H` stands; `seconds` allows six fields, with the seconds first.

        InvalidOptionError for an expression that cannot be read or has no times.
        """
        if find_spec("cronsim") is None:
            raise InvalidOptionError(
                "option cron requires the package cronsim: pip install 'mongo-taskscheduler[cron]'"
            )
        if not isinstance(expression, str):
            raise InvalidOptionError(f"option cron must be a text such as '30 2 * * *', not {expression!r:.60}")
        self.expression = expression
        self._zone = where
        self._fields = _fields(expression, name, seconds)
        self._dial = self._simulation(_ANY_MOMENT)
        self._is_fixed = not any(field.startswith("*") for field in self._fields[-5:-3])
        if self.after(_ANY_MOMENT) is None:
            raise _never(expression)

    def after(self, moment: datetime) -> datetime | None:
        """Returns the first time later than an aware moment, in UTC; None if there is none within 50 years."""
        return self._after_fixed(moment) if self._is_fixed else self._after_elapsed(moment)

    def _after_fixed(self, moment: datetime) -> datetime | None:
        for found in self._simulation(moment.astimezone(self._zone)):
            instant = found.astimezone(UTC)
            if instant > moment:  # else it came first in the hour that is repeated
                return instant
        return None

    def _after_elapsed(self, moment: datetime) -> datetime | None:
        """Looks at each quarter of an hour of matching days; cronsim loses times where half an hour is skipped."""
        dial, last = self._dial, moment.year + _YEARS
        moment = moment.astimezone(UTC).replace(microsecond=0) + _SECOND
        while moment.year <= last:
            wall = moment.astimezone(self._zone)
            if wall.month not in dial.months:
                moment = at_wall_time(_next_month(wall), self._zone)
            elif not dial.match_day(wall.date()):
                moment = at_wall_time(_next_day(wall), self._zone)
            elif wall.hour not in dial.hours:
                moment += _QUARTER - (moment - _ANY_MOMENT) % _QUARTER  # where clocks may change
            elif wall.minute not in dial.minutes:
                quarter = wall.minute - wall.minute % 15 + 15
                moment += timedelta(minutes=_ahead(wall.minute, dial.minutes, quarter), seconds=-wall.second)
            elif wall.second not in dial.seconds:
                moment += timedelta(seconds=_ahead(wall.second, dial.seconds, 60))
            else:
                return moment
        return None

    def minutes_on(self, day: date) -> int:
        """Returns the minutes of a day at which the clocks of the zone show one of the times, as the bits of an int."""
        dial = self._dial
        return self._minutes if day.month in dial.months and dial.match_day(day) else 0

    @cached_property
    def _minutes(self) -> int:
        return minutes_of(self._dial.hours, self._dial.minutes)

    def in_words(self) -> str:
        """Returns the times as a sentence."""
        return _parsed(self.expression, self._fields, _ANY_MOMENT).explain()

    def _simulation(self, moment: datetime) -> CronSim:
        """Starts at a moment. cronsim handles changes of the clocks for five fields only, so seconds are set apart."""
        simulation = _parsed(self.expression, self._fields[-5:], moment)
        if len(self._fields) == len(_FIELDS):
            simulation.seconds = _parsed(self.expression, self._fields, _ANY_MOMENT).seconds
        return simulation


def _ahead(place: int, chosen: Collection[int], end: int) -> int:
    """Returns how far away the next one of the chosen places is, or the end of those that may be passed over."""
    return next((other for other in range(place + 1, end) if other in chosen), end) - place


def _next_day(wall: datetime) -> datetime:
    return datetime.combine(wall.date() + timedelta(days=1), time())


def _next_month(wall: datetime) -> datetime:
    return datetime.combine((wall.replace(day=1) + timedelta(days=32)).date().replace(day=1), time())


def _fields(expression: str, name: str, seconds: bool) -> list[str]:
    text = expression.strip()
    if text.startswith("@"):
        return _macro(text).split()
    fields = text.upper().split()
    if len(fields) == len(_FIELDS) and not seconds:
        raise InvalidOptionError(
            f"option cron: {expression!r:.80} has six fields; give seconds=True (--seconds) if the first is the seconds"
        )
    if len(fields) not in ((5, 6) if seconds else (5,)):
        raise InvalidOptionError(f"option cron: {expression!r:.80} has {len(fields)} fields instead of five; {_HELP}")
    first = len(_FIELDS) - len(fields)
    return [_expanded(field, number, name, expression) for number, field in enumerate(fields, first)]


def _macro(text: str) -> str:
    try:
        return _MACROS[text.lower()]
    except KeyError:
        hint = near_miss(text, _MACROS) or f"; there are {', '.join(_MACROS)}"
        raise InvalidOptionError(f"option cron: {text!r:.80} is unknown{hint}") from None


def _expanded(field: str, number: int, name: str, expression: str) -> str:
    """Replaces `?`, and each `H` of a list, in one field."""
    if field == "?" and number in (_DAY, _WEEKDAY):
        return "*"
    parts = [_hashed(part, number, name, expression) if part.startswith("H") else part for part in field.split(",")]
    return ",".join(_ONE_OF_ONE.sub(r"\1", part) for part in parts)


def _hashed(part: str, number: int, name: str, expression: str) -> str:
    """Replaces `H`, `H/15` or `H(0-29)/10` by the place that the name has there."""
    found, (lowest, highest) = _H.fullmatch(part), _HASHED[number]
    if found is None:
        raise _bad(expression, number, f"{part!r} is none of H, H/15, H(0-29), H(0-29)/10")
    low, high = int(found[1] or lowest), int(found[2] or highest)
    step = int(found[3]) if found[3] else None
    if not lowest <= low <= high <= highest or step == 0:
        raise _bad(expression, number, f"the range of {part!r} is not within {lowest}-{highest}, or its step is 0")
    if step is None:
        return str(low + stable_number(high - low + 1, name, _FIELDS[number]))
    return f"{low + stable_number(min(step, high - low + 1), name, _FIELDS[number])}-{high}/{step}"


def _parsed(expression: str, fields: list[str], moment: datetime) -> CronSim:
    from cronsim import CronSim, CronSimError  # noqa: PLC0415  # an extra

    try:
        return CronSim(" ".join(fields), moment)
    except CronSimError as error:
        number = next((place for place, field in enumerate(_CRONSIM_FIELDS) if field in str(error)), None)
        if number == _DAY and fields[-2] != "*" and _is_readable([*fields[:-2], "*", "*"]):
            raise _never(expression) from None
        raise _bad(expression, number, "") from None
    except (AssertionError, ValueError, TypeError):  # some odd combinations, such as 5L/2
        raise _bad(expression, None, "") from None


def _is_readable(fields: list[str]) -> bool:
    try:
        return next(_parsed("", fields, _ANY_MOMENT), None) is not None
    except InvalidOptionError:
        return False


_CRONSIM_FIELDS = ("second", "minute", "hour", "day-of-month", "month", "day-of-week")
_HELP = "the fields are minute, hour, day of the month, month and day of the week"


def _never(expression: str) -> InvalidOptionError:
    return InvalidOptionError(f"option cron: {expression!r:.80} never comes: none of these months has such a day")


def _bad(expression: str, number: int | None, reason: str) -> InvalidOptionError:
    if number is None:
        return InvalidOptionError(f"option cron: {expression!r:.80} cannot be read; {_HELP}")
    more = f" ({reason})" if reason else ""
    return InvalidOptionError(
        f"option cron: the {_FIELDS[number]} of {expression!r:.80} cannot be read{more}; "
        f"it takes *, lists, ranges, steps, H, and {_ALLOWED[number]}"
    )
