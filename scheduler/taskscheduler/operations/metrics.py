"""Reads what nodes have counted: as points of time, and by class or queue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.metrics.points import MetricPoint, MetricRow, points, rows
from taskscheduler.model.metrics.steps import range_of, spans
from taskscheduler.store import Store

BY = ("job", "queue")


class Asked(NamedTuple):
    """A time that somebody asks about, as it was given: dates, or how long ago."""

    since: datetime | timedelta
    until: datetime | timedelta | None = None  #: None: now

    def moments(self, now: datetime) -> tuple[datetime, datetime]:
        """Returns both as dates."""
        return _moment(self.since, now), now if self.until is None else _moment(self.until, now)


def _moment(given: datetime | timedelta, now: datetime) -> datetime:
    if isinstance(given, datetime):
        return given
    try:
        return now - given
    except OverflowError:
        raise InvalidOptionError(f"option since must be a time that is kept, not {given.days} days ago") from None


class Which(NamedTuple):
    """The attempts that somebody asks about: at jobs of one class, in one queue, or all."""

    job: str | None = None
    queue: str | None = None


def metric_points(store: Store, asked: Asked, which: Which, seconds: int | None) -> list[MetricPoint]:
    """Returns a point for each step of a time; without a length of steps, some hundred. InvalidOptionError."""
    now = store.clock.now()
    time = range_of(*asked.moments(now), seconds, now)
    parts = store.metrics.folded(time.span) if time.has_whole_days else [time.span]
    read_all = which == Which()
    return points(time, store.metrics.read_totals(parts) if read_all else store.metrics.read_series(parts, *which))


def metric_rows(store: Store, asked: Asked, which: Which, by: Sequence[str]) -> dict[str, list[MetricRow]]:
    """Returns what was counted in a time by `job`, by `queue` or by both, the busiest first. InvalidOptionError."""
    now = store.clock.now()
    parts = [part for span in spans(*asked.moments(now), now) for part in store.metrics.folded(span)]
    return rows(store.metrics.sums(parts, now, *which), by)
