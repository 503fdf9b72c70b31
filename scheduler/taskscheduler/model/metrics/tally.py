"""Tally: what a node has counted and not stored yet, divided by minutes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from taskscheduler.model.metrics.counts import Counts, Room, Sample, Series
from taskscheduler.model.metrics.steps import HOUR, MINUTE

_MOST_REMEMBERED = 1000


class Portion:
    """What was counted in one minute since the portion before it, to be added to what is stored, exactly once."""

    def __init__(self, minute: datetime) -> None:
        self.minute = minute
        self.number = 0  #: of the portions of this node; one that is stored is recognised by it
        self.series: dict[Series, Counts] = {}
        self._room = Room()
        self._others: dict[Series, Counts] = {}  #: where a series is counted that has no room

    def add(self, sample: Sample) -> None:
        """Counts an attempt."""
        series = sample[0]
        counts = self.series.get(series) or self._others.get(series)
        if counts is None:
            counts = self.series.setdefault(self._room.place(series), Counts())
            if len(self._others) < _MOST_REMEMBERED and series not in self.series:
                self._others[series] = counts
        counts.add(sample)

    @property
    def hour(self) -> datetime:
        """When the hour of this minute began."""
        return HOUR.begins(self.minute)

    @property
    def total(self) -> Counts:
        """All series added up."""
        total = Counts()
        for counts in self.series.values():
            total.merge(counts)
        return total

    def fit(self, room: Room) -> None:
        """Counts the series for which there is no room as others."""
        series, self.series = self.series, {}
        for wanted, counts in series.items():
            self.series.setdefault(room.place(wanted), Counts()).merge(counts)


class Tally:
    """Counts attempts into portions, one for each minute. Not safe to use from several threads at once."""

    def __init__(self) -> None:
        self._portions: dict[datetime, Portion] = {}
        self._numbered = 0

    def add(self, samples: Iterable[Sample], at: datetime) -> None:
        """Counts attempts that ended at this time."""
        minute = MINUTE.begins(at)
        portion = self._portions.get(minute)
        if portion is None:
            portion = self._portions[minute] = Portion(minute)
        for sample in samples:
            portion.add(sample)

    def take(self) -> Portion | None:
        """Takes the oldest portion, to be stored; None if nothing was counted. What is counted next is another one."""
        if not self._portions:
            return None
        self._numbered += 1
        portion = self._portions.pop(min(self._portions))
        portion.number = self._numbered
        return portion
