"""Histogram of seconds, with fixed buckets, so that those of many nodes and minutes can be added up."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

#: the upper bounds of the buckets, in seconds. They are stored by their numbers, so none may ever be added or removed.
BOUNDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
    14_400.0, 86_400.0,
)  # fmt: skip

OVERFLOW = len(BOUNDS)  #: the number of the bucket for everything longer


class Histogram:
    """Counts durations in buckets. The median and other quantiles are as exact as the buckets are narrow."""

    __slots__ = ("buckets", "sum")

    def __init__(self, buckets: Iterable[int] = (), total: float = 0.0) -> None:
        """`buckets`: how many durations are in each bucket; `total`: their sum in seconds."""
        self.buckets = [*buckets] or [0] * (OVERFLOW + 1)
        self.sum = total

    def add(self, seconds: float) -> None:
        """Counts one duration; a negative one, of two clocks that differ, counts as 0."""
        if seconds < 0:
            seconds = 0.0
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def merge(self, other: Histogram) -> None:
        """Adds the durations that another one has counted."""
        self.buckets = [one + more for one, more in zip(self.buckets, other.buckets, strict=True)]
        self.sum += other.sum

    @property
    def count(self) -> int:
        """How many durations there are."""
        return sum(self.buckets)

    @property
    def mean(self) -> float | None:
        """The average in seconds; None of nothing."""
        return self.sum / self.count if self.count else None

    def quantile(self, share: float) -> float | None:
        """Returns the duration in seconds that this share of all does not exceed: 0.5 gives the median; None of none.

        Within a bucket it counts as evenly spread. Of durations of more than a day it is one day.
        """
        wanted, below = share * self.count, 0
        for number, count in enumerate(self.buckets):
            if count and below + count >= wanted:
                if number == OVERFLOW:
                    return BOUNDS[-1]
                lower = BOUNDS[number - 1] if number else 0.0
                return lower + (BOUNDS[number] - lower) * max(0.0, wanted - below) / count
            below += count
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and (self.buckets, self.sum) == (other.buckets, other.sum)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Histogram({self.buckets}, {self.sum})"
