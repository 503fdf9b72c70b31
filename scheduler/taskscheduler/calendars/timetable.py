"""A timetable: the times of all its sources in one order, without those that are excluded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Protocol
from zoneinfo import ZoneInfo

from taskscheduler.calendars.exclusions import LONGEST_EXCLUDED, Exclusions, lowered
from taskscheduler.calendars.minutes import HasMinutes
from taskscheduler.calendars.stable import stable_number

_INSTANT = timedelta(microseconds=1)
#: a timetable counts as ended after so many times in a row that are excluded, or if all are for LONGEST_EXCLUDED
_MOST_EXCLUDED = 50_000


class Times(HasMinutes, Protocol):
    """Where times come from."""

    def after(self, moment: datetime) -> datetime | None:
        """Returns the first time later than an aware moment, in UTC; None if there is none."""
        ...

    def in_words(self) -> str:
        """Returns the times as a text for people."""
        ...


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
            until = self.exclusions.until(found, self.sources)
            if until is None:
                return found
            if until - begun > LONGEST_EXCLUDED:
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
        return " and ".join([*parts[:1], *map(lowered, parts[1:])])


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
