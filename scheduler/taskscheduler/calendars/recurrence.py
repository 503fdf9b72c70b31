"""Times of a recurrence rule (RFC 5545), for what cron cannot say: every second Tuesday, the last workday of a quarter.

python-dateutil computes them as times on the wall; changes of the clocks are handled as for cron expressions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from taskscheduler.calendars.minutes import EVERY_MINUTE
from taskscheduler.calendars.zones import at_wall_time
from taskscheduler.errors import InvalidOptionError

if TYPE_CHECKING:
    from dateutil.rrule import rrule, rruleset

_HELP = "write a rule such as FREQ=WEEKLY;INTERVAL=2;BYDAY=TU;BYHOUR=9;BYMINUTE=0;BYSECOND=0"
_LONGEST = timedelta(days=100 * 366)
_MOST_A_DAY = 24  #: every look goes through all times from the start of the rule on
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  #: days
_TOO_OFTEN = ("HOURLY", "MINUTELY", "SECONDLY")


class RuleTimes:
    """The times of one rule in a time zone."""

    def __init__(self, text: Any, where: ZoneInfo, start: datetime) -> None:
        """`start` is where the rule counts from, unless it says so itself with DTSTART. InvalidOptionError."""
        if find_spec("dateutil") is None:
            raise InvalidOptionError(
                "option rrule requires the package python-dateutil: pip install 'mongo-taskscheduler[calendar]'"
            )
        if not isinstance(text, str) or not text.strip():
            raise InvalidOptionError(f"option rrule must be a text of RFC 5545, not {text!r:.60}; {_HELP}")
        self.text = text
        self._zone = where
        self._rule = _read(text, start.astimezone(where).replace(tzinfo=None, microsecond=0))
        #: where it was last asked: dateutil begins each search at the start of the rule, so one later time follows on
        self._wall = datetime.max  # noqa: DTZ901  # times on the wall
        self._times: Iterator[datetime] = iter(())
        self._next: datetime | None = None

    def after(self, moment: datetime) -> datetime | None:
        """Returns the first time later than an aware moment, in UTC; None if there is none."""
        wall = moment.astimezone(self._zone).replace(tzinfo=None)
        if wall < self._wall:
            self._times = iter(self._rule)
            self._next = next(self._times, None)
        self._wall = wall
        while self._next is not None:
            if self._next > wall and (instant := at_wall_time(self._next, self._zone)) > moment:
                return instant
            self._next = next(self._times, None)
        return None

    def minutes_on(self, _day: date) -> int:
        """Returns all minutes of a day: any may be one of them."""
        return EVERY_MINUTE

    def in_words(self) -> str:
        """Returns the rule."""
        return f"By the rule {self.text}"


def _read(text: str, start: datetime) -> rrule | rruleset:
    from dateutil.rrule import rrule, rrulestr  # noqa: PLC0415  # an extra

    upper = text.upper()
    for frequency in _TOO_OFTEN:
        if f"FREQ={frequency}" in upper:
            raise InvalidOptionError(f"option rrule: FREQ={frequency} is too often for a rule; use cron or every")
    if re.search(r"INTERVAL=0+\b", upper):  # with it dateutil looks for ever
        raise InvalidOptionError("option rrule: INTERVAL must be at least 1, not 0")
    if (often := _times_a_day(upper)) > _MOST_A_DAY:
        raise InvalidOptionError(
            f"option rrule: {often} times a day are too often for a rule ({_MOST_A_DAY} at most); use cron or every"
        )
    if _has_no_day(upper):
        raise InvalidOptionError(f"option rrule: {text!r:.80} never comes: none of these months has such a day")
    if "TZID" in upper or _is_utc(upper):
        raise InvalidOptionError("option rrule: times in a rule have no zone; give it by the option timezone")
    try:
        rule = rrulestr(text, dtstart=start)
        if isinstance(rule, rrule) and not re.search("UNTIL|COUNT", upper):
            rule = rule.replace(until=start + _LONGEST)  # else one that never comes is looked for up to the year 9999
        first = rule.after(datetime.min)  # noqa: DTZ901  # times on the wall
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise InvalidOptionError(f"option rrule: {text!r:.80} cannot be read ({error}); {_HELP}") from None
    if first is None:
        raise InvalidOptionError(f"option rrule: {text!r:.80} never comes")
    return rule


def _times_a_day(text: str) -> int:
    """Returns how many times a rule may have on one day, all its lines together."""
    lists = re.findall(r"BY(?:HOUR|MINUTE|SECOND)=([\d,]+)", text)
    return math.prod(len(one.split(",")) for one in lists)


def _has_no_day(text: str) -> bool:
    """Tells whether no month of a rule has one of its days, which dateutil finds out in a walk of a hundred years."""
    months, days = (re.findall(rf"BY{part}=([-+\d,]+)", text) for part in ("MONTH", "MONTHDAY"))
    if len(months) != 1 or len(days) != 1 or text.count("FREQ=") != 1 or "RDATE" in text:
        return False
    try:
        longest = max(_LONGEST_MONTHS[int(month) - 1] for month in months[0].split(","))
        return min(abs(int(day)) for day in days[0].split(",")) > longest
    except (ValueError, IndexError):
        return False  # dateutil says what is wrong


def _is_utc(text: str) -> bool:
    """Whether a date of the rule ends in Z."""
    return re.search(r"\d{8}T\d{6}Z", text) is not None
