"""When nothing runs, and how long that lasts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache, reduce
from operator import or_
from zoneinfo import ZoneInfo

from taskscheduler.calendars.cron import CronTimes
from taskscheduler.calendars.minutes import EVERY_MINUTE, HasMinutes, at_minute, first_of, minute_of
from taskscheduler.calendars.zones import at_wall_time

_DAY, _QUARTER = timedelta(days=1), 15  #: minutes; the clocks of all zones change at one
_MIDNIGHT = time()
_NAMED = 5  #: dates without runs that a text for people names

LONGEST_EXCLUDED = timedelta(days=50 * 366)  #: what is excluded for so long never comes


class Exclusions:
    """Dates and cron expressions on which nothing runs, in a time zone."""

    def __init__(self, dates: frozenset[date], expressions: Sequence[CronTimes], where: ZoneInfo) -> None:
        self._dates = dates
        self._expressions = expressions
        self._zone = where

    def until(self, moment: datetime, sources: Sequence[HasMinutes]) -> datetime | None:
        """Returns the next moment at which one of these sources may have a time that is not excluded, in UTC.

        None if the moment itself is not excluded. If there is none within LONGEST_EXCLUDED, it is one after that.
        """
        if not self._dates and not self._expressions:
            return None
        wall = moment.astimezone(self._zone)
        day, last = wall.date(), wall.date() + LONGEST_EXCLUDED
        if not self._on(day) >> minute_of(wall) & 1:
            return None
        found = self._next_on(day, minute_of(wall), moment, sources)
        while found is None and day <= last:
            day += _DAY
            found = self._next_on(day, 0, moment, sources)
        return found or at_wall_time(at_minute(day, 0), self._zone)

    def _on(self, day: date) -> int:
        """Returns the minutes of a day, as the clocks show them, that are excluded."""
        return EVERY_MINUTE if day in self._dates else _minutes(self._expressions, day)

    def _next_on(self, day: date, first: int, moment: datetime, sources: Sequence[HasMinutes]) -> datetime | None:
        left = (EVERY_MINUTE ^ self._on(day)) >> first << first
        if not left:
            return None
        if self._changes_around(day):
            return self._step(day, max(moment, at_wall_time(at_minute(day, 0), self._zone)))
        left &= _minutes(sources, day)
        return at_wall_time(at_minute(day, first_of(left)), self._zone) if left else None

    def _step(self, day: date, moment: datetime) -> datetime | None:
        """Looks at each quarter of an hour of a day on which minutes are skipped or come twice."""
        moment = moment.astimezone(UTC).replace(second=0, microsecond=0)
        while (wall := moment.astimezone(self._zone)).date() <= day:
            minutes = _QUARTER - wall.minute % _QUARTER
            left = (EVERY_MINUTE ^ self._on(wall.date())) >> minute_of(wall) & ((1 << minutes) - 1)
            if left:
                return moment + timedelta(minutes=first_of(left))
            moment += timedelta(minutes=minutes)
        return None

    def _changes_around(self, day: date) -> bool:
        """Tells whether clocks change on a day or the one before it: a time that is skipped comes right after that."""
        offset = _offset(day, self._zone)
        return not _offset(day - _DAY, self._zone) == offset == _offset(day + _DAY, self._zone)

    def in_words(self) -> str:
        """Returns when nothing runs, such as `except on 2027-12-25`; empty if nothing is excluded."""
        dates = [str(day) for day in sorted(self._dates)]
        if len(dates) > _NAMED:
            dates[_NAMED:] = [f"{len(dates) - _NAMED} other dates"]
        parts = [f"on {', '.join(dates)}"] if dates else []
        parts += [lowered(one.in_words()) for one in self._expressions]
        return f"except {' and '.join(parts)}" if parts else ""


def _minutes(several: Sequence[HasMinutes], day: date) -> int:
    return reduce(or_, (one.minutes_on(day) for one in several), 0)


@lru_cache(maxsize=8)  # those of a day are those of its neighbours
def _offset(day: date, where: ZoneInfo) -> timedelta | None:
    return datetime.combine(day, _MIDNIGHT, where).utcoffset()


def lowered(sentence: str) -> str:
    """Returns a sentence that follows another part, so that it begins with a small letter."""
    return sentence[:1].lower() + sentence[1:]
