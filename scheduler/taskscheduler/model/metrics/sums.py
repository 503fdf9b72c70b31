"""Adds up stored counts: a page reads some thousand of them, so each takes a microsecond or two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskscheduler.model.metrics.counts import OUTCOMES, Counts
from taskscheduler.model.metrics.histogram import OVERFLOW, Histogram
from taskscheduler.model.sound import MOST_COUNTED, is_count, is_number

_NUMBERS = tuple(map(str, range(OVERFLOW + 1)))

_HISTOGRAMS = ("wait", "run")

_SUMS = {f"{name}_sum": name for name in _HISTOGRAMS}


class StoredSum:
    """The sum of stored counts; leaves out what is none."""

    __slots__ = ("_buckets", "_outcomes", "_seconds")

    def __init__(self) -> None:
        self._outcomes = dict.fromkeys(OUTCOMES, 0)
        self._buckets = {name: dict.fromkeys(_NUMBERS, 0) for name in _HISTOGRAMS}
        self._seconds = dict.fromkeys(_HISTOGRAMS, 0.0)

    def add(self, entry: Any) -> None:
        """Adds the stored counts of one series."""
        if not isinstance(entry, dict):
            return
        outcomes, buckets = self._outcomes, self._buckets
        for name, value in entry.items():
            if name in outcomes:
                if is_count(value):
                    outcomes[name] += value
            elif name in buckets:
                if isinstance(value, dict):
                    _add(buckets[name], value)
            elif name in _SUMS and is_number(value) and value > 0:
                self._seconds[_SUMS[name]] += value

    def merge(self, other: StoredSum) -> None:
        """Adds another sum."""
        _add(self._outcomes, other._outcomes)
        for name in _HISTOGRAMS:
            _add(self._buckets[name], other._buckets[name])
            self._seconds[name] += other._seconds[name]

    def counts(self) -> Counts:
        """Returns the sum."""
        found = Counts()
        found.outcomes |= self._outcomes
        found.wait, found.run = (Histogram(self._buckets[one].values(), self._seconds[one]) for one in _HISTOGRAMS)
        return found


def _add(into: dict[str, int], counts: Mapping[str, Any]) -> None:
    for name, count in counts.items():
        if name in into and (count.__class__ is int or is_count(count)) and 0 <= count < MOST_COUNTED:
            into[name] += count
