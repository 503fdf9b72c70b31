"""A timetable: the times of all its sources in one order, without those that are excluded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Protocol
from zoneinfo import ZoneInfo

from taskscheduler.calendars.cron import CronTimes
from taskscheduler.calendars.stable import stable_number
from taskscheduler.calendars.zones import at_wall_time

_INSTANT = timedelta(microseconds=1)
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_QUARTER = timedelta(minutes=15)  #: the clocks of all zones change at one
_NAMED = 5  #: dates without runs that a text for people names
#: a timetable counts as ended after so many times in a row that are excluded, or if all are for so long
_MOST_EXCLUDED, _LONGEST_EXCLUDED = 50_000, timedelta(days=50 * 366)


class Times(Protocol):
    """Where times come from."""

    def after(self, moment: datetime) -> datetime | None:
        """Returns the first time later than an aware moment, in UTC; None if there is none."""
        ...

    def in_words(self) -> str:
        """Returns the times as a text for people."""
        ...


class Exclusions:
    """Dates and cron expressions on which nothing runs, in a time zone."""

    def __init__(self, dates: frozenset[date], expressions: Sequence[CronTimes], where: ZoneInfo) -> None:
        self._dates = dates
        self._expressions = expressions
        self._zone = where

    def until(self, moment: datetime) -> datetime | None:
        """Returns until when a moment is excluded at least; None if it is not."""
        if not self._dates and not self._expressions:
            return None
        today = moment.astimezone(self._zone).date()
        matching = [one.whole() for one in self._expressions if one.matches(moment)]
        if today in self._dates or _DAY in matching:
            midnight = datetime.combine(today + timedelta(days=1), datetime.min.time())
            return at_wall_time(midnight, self._zone)
        return _rounded_up(moment, _QUARTER if _HOUR in matching else _MINUTE) if matching else None

    def in_words(self) -> str:
        """Returns when nothing runs, such as `except on 2027-12-25`; empty if nothing is excluded."""
        dates = [str(day) for day in sorted(self._dates)]
        if len(dates) > _NAMED:
            dates[_NAMED:] = [f"{len(dates) - _NAMED} other dates"]
        parts = [f"on {', '.join(dates)}"] if dates else []
        parts += [_lowered(one.in_words()) for one in self._expressions]
        return f"except {' and '.join(parts)}" if parts else ""


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _rounded_up(moment: datetime, unit: timedelta) -> datetime:
    """Returns the first multiple of a unit of time that is later than a moment."""
    return moment + unit - (moment - datetime.min.replace(tzinfo=UTC)) % unit


@dataclass(frozen=True, slots=True)
class Timetable:
    """When a schedule runs."""

    sources: tuple[Times, ...]
    exclusions: Exclusions
    start: datetime | None = None  #: no time before it
    end: datetime | None = None  #: no time after it

    def after(self, moment: datetime) -> datetime | None:
        """Returns the first time later than an aware moment, in UTC; None if there is none."""
        try:
            return self._after(moment)
        except OverflowError:  # it would come after the last year of the calendar
            return None

    def _after(self, moment: datetime) -> datetime | None:
        if self.start is not None:
            moment = max(moment, self.start - _INSTANT)
        begun = moment
        for _ in range(_MOST_EXCLUDED):
            found = min((time for one in self.sources if (time := one.after(moment)) is not None), default=None)
            if found is None or (self.end is not None and found > self.end):
                return None
            until = self.exclusions.until(found)
            if until is None:
                return found
            if until - begun > _LONGEST_EXCLUDED:
                return None
            moment = max(found, until - _INSTANT)
        return None

    def times(self, moment: datetime, until: datetime | None = None) -> Iterator[datetime]:
        """Yields the times later than `moment`, up to and including `until`."""
        found = self.after(moment)
        while found is not None and (until is None or found <= until):
            yield found
            found = self.after(found)

    def next_times(self, count: int, moment: datetime) -> list[datetime]:
        """Returns the next `count` times later than an aware moment, in UTC; fewer if the timetable ends before."""
        return list(islice(self.times(moment), count))

    def in_words(self) -> str:
        """Returns the times as a text for people, without their zone."""
        parts = [one.in_words() for one in self.sources]
        return " and ".join([*parts[:1], *map(_lowered, parts[1:])])


def delay(jitter: float, name: str, time: datetime) -> timedelta:
    """Returns how much later than its time a run starts: up to `jitter` seconds, the same in every process."""
    most = round(jitter * 1000)
    stamp = int(time.astimezone(UTC).timestamp() * 1000)
    return timedelta(milliseconds=stable_number(most + 1, name, stamp)) if most else timedelta()


def changes_clocks(time: datetime, where: ZoneInfo) -> bool:
    """Tells whether the clocks of a zone change on the day of a time."""
    day = time.astimezone(where).date()
    midnights = [datetime.combine(day + timedelta(days=more), datetime.min.time(), where) for more in (0, 1)]
    return midnights[0].utcoffset() != midnights[1].utcoffset()
