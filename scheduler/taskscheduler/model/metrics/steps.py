"""Steps of time: minutes, hours and days, how long they are kept, and which of them answer a question."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from taskscheduler.errors import InvalidOptionError


@dataclass(frozen=True, slots=True)
class Step:
    """How much time one stored document is about."""

    name: str
    seconds: int
    kept: timedelta

    def begins(self, at: datetime) -> datetime:
        """Returns when the step began to which this moment belongs."""
        return floor(at, self.seconds)

    def key(self, begins: datetime) -> str:
        """Returns the id of the document of the step that begins then; ids are in the order of time."""
        return f"{self.name} {begins:%Y-%m-%dT%H:%M}"

    def expires(self, begins: datetime) -> datetime:
        """Returns when the document of the step that begins then is deleted."""
        return begins + timedelta(seconds=self.seconds) + self.kept

    def began(self, key: object) -> datetime | None:
        """Returns when the step of this id began; None if it is no such id."""
        name, _, time = key.partition(" ") if isinstance(key, str) else ("", "", "")
        if name != self.name or len(time) != len("2026-11-30T10:20") or time[7] != "-" or time[10] != "T":
            return None
        try:
            return datetime.fromisoformat(time).replace(tzinfo=UTC)  # ten times as fast as by a format
        except ValueError:
            return None


MINUTE = Step("minute", 60, timedelta(hours=72))
HOUR = Step("hour", 3600, timedelta(days=90))
DAY = Step("day", 86_400, timedelta(days=90))

FOLDED_AFTER = timedelta(days=1)  #: after its end a day is folded: by then no node stores a portion of it any more

MOST_POINTS = 1500

_STEPS = (60, 300, 600, 1800, 3600, 10_800, 21_600, 86_400)  #: seconds, of which a default is chosen

_POINTS = 120  #: that a chart shows well

_EDGE = 120  #: seconds by which a question may miss the oldest minutes


def floor(at: datetime, seconds: int) -> datetime:
    """Returns the last whole multiple of so many seconds since the epoch."""
    return datetime.fromtimestamp(at.timestamp() // seconds * seconds, UTC)


def ceiling(at: datetime, seconds: int) -> datetime:
    """Returns the first whole multiple of so many seconds since the epoch that is not before this moment."""
    begins = floor(at, seconds)
    return begins if begins == at else begins + timedelta(seconds=seconds)


class Span(NamedTuple):
    """Documents of one step, from one moment to another, which is not in it."""

    step: Step
    since: datetime
    until: datetime

    @property
    def days(self) -> Span:
        """The whole days in it; none if it does not end after it begins."""
        return Span(DAY, ceiling(self.since, DAY.seconds), DAY.begins(self.until))

    def without(self, days: Collection[datetime]) -> list[Span]:
        """Returns the parts of it that are left without the days that begin at these moments."""
        parts, since = [], self.since
        for begins in sorted(days):
            parts.append(self._replace(since=since, until=begins))
            since = begins + timedelta(seconds=DAY.seconds)
        parts.append(self._replace(since=since))
        return [part for part in parts if part.since < part.until]


def divided(spans: Iterable[Span], at: datetime) -> tuple[list[Span], list[Span]]:
    """Returns the parts of these spans before and after a moment, which is the begin of an hour."""
    parts = [(span._replace(until=min(span.until, at)), span._replace(since=max(span.since, at))) for span in spans]
    before, after = [one for one, _ in parts], [other for _, other in parts]
    return [one for one in before if one.since < one.until], [one for one in after if one.since < one.until]


def joined(days: Collection[datetime]) -> list[Span]:
    """Returns the fewest spans of days that have exactly the days that begin at these moments."""
    found: list[Span] = []
    for begins in sorted(days):
        until = begins + timedelta(seconds=DAY.seconds)
        if found and found[-1].until == begins:
            found[-1] = found[-1]._replace(until=until)
        else:
            found.append(Span(DAY, begins, until))
    return found


class Range(NamedTuple):
    """A time, divided into steps of equal length that begin at whole multiples of it."""

    since: datetime
    until: datetime
    seconds: int

    @property
    def span(self) -> Span:
        """The documents that are about this time."""
        return Span(MINUTE if self.seconds < HOUR.seconds else HOUR, self.since, self.until)

    @property
    def has_whole_days(self) -> bool:
        """Whether each step consists of whole days."""
        return self.seconds % DAY.seconds == 0

    def begins(self) -> Iterator[datetime]:
        """Yields when each step begins."""
        at = self.since
        while at < self.until:
            yield at
            at += timedelta(seconds=self.seconds)


def range_of(since: datetime, until: datetime, seconds: int | None, now: datetime) -> Range:
    """Returns the steps between two moments, whole ones; InvalidOptionError if they are not kept, or too many.

    Without a length of steps, one is chosen that a chart shows well.
    """
    _check_order(since, until)
    if seconds is None:
        seconds = _fitting(since, until, now)
    elif seconds <= 0 or seconds % (MINUTE.seconds if seconds < HOUR.seconds else HOUR.seconds):
        raise InvalidOptionError(f"option step must be whole minutes below an hour, else whole hours, not {seconds} s")
    found = Range(floor(since, seconds), ceiling(until, seconds), seconds)
    if found.span.step is MINUTE and since < now - MINUTE.kept - timedelta(seconds=_EDGE):
        raise InvalidOptionError("minutes are kept for 72 hours: for an earlier time give a step of an hour or more")
    if (found.until - found.since).total_seconds() / seconds > MOST_POINTS:
        raise InvalidOptionError(f"a step of {seconds} s gives more than {MOST_POINTS} steps: give a longer one")
    return found


def _check_order(since: datetime, until: datetime) -> None:
    if since >= until:
        raise InvalidOptionError(f"option since ({since:%Y-%m-%d %H:%M} UTC) must be before until")


def _fitting(since: datetime, until: datetime, now: datetime) -> int:
    span = (until - since).total_seconds()
    least = MINUTE.seconds if since >= now - MINUTE.kept else HOUR.seconds
    steps = [seconds for seconds in _STEPS if seconds >= least]
    return next((seconds for seconds in steps if span / seconds <= _POINTS), steps[-1])


def spans(since: datetime, until: datetime, now: datetime) -> list[Span]:
    """Returns the fewest documents that are about a time, to the minute: whole hours, and minutes before and after.

    Minutes are kept for 72 hours. A time before that is rounded to whole hours. InvalidOptionError.
    """
    _check_order(since, until)
    since, until = MINUTE.begins(since), ceiling(until, MINUTE.seconds)
    first, last = ceiling(since, HOUR.seconds), HOUR.begins(until)
    if until > now:
        last = ceiling(until, HOUR.seconds)  # nothing is counted yet that is too late
    if since < now - MINUTE.kept:
        first = HOUR.begins(since)
    if until < now - MINUTE.kept:
        last = ceiling(until, HOUR.seconds)
    if first >= last:
        return [Span(MINUTE, since, until)]
    parts = [Span(MINUTE, since, first), Span(HOUR, first, last), Span(MINUTE, last, until)]
    return [part for part in parts if part.since < part.until]
