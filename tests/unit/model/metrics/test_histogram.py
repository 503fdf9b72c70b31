"""Durations in fixed buckets, which can be added up, and the quantiles that they give."""

from __future__ import annotations

import random

import pytest
from tests.support.tables import table

from taskscheduler.model.metrics.histogram import BOUNDS, OVERFLOW, Histogram


def of(*durations: float) -> Histogram:
    found = Histogram()
    for seconds in durations:
        found.add(seconds)
    return found


def test_the_bounds_are_those_that_are_stored() -> None:
    """Who changes them makes everything that is stored mean something else."""
    assert BOUNDS[:10] == (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
    assert BOUNDS[10:] == (2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
    assert list(BOUNDS) == sorted(BOUNDS)


@table(
    ("seconds", "bucket"),
    [(0, 0), (-5, 0), (0.001, 0), (0.0011, 1), (0.5, 8), (0.51, 9), (86_400, 19), (86_401, OVERFLOW)],
)
def test_a_duration_is_in_the_first_bucket_that_it_does_not_exceed(seconds: float, bucket: int) -> None:
    assert of(seconds).buckets.index(1) == bucket


def test_the_sum_of_many_is_as_if_one_had_counted_all() -> None:
    durations = [random.Random(1).expovariate(1.0) for _ in range(100)]
    both = of(*durations[:40])
    both.merge(of(*durations[40:]))
    assert both.buckets == of(*durations).buckets
    assert both.sum == pytest.approx(sum(durations))
    assert both.mean == pytest.approx(sum(durations) / 100)


def test_a_quantile_is_within_the_bucket_of_the_true_one() -> None:
    chance = random.Random(2)
    durations = sorted(chance.expovariate(0.3) for _ in range(1000))
    for share in (0.01, 0.5, 0.95, 0.99):
        true = durations[round(share * 1000) - 1]
        found = of(*durations).quantile(share)
        assert found is not None
        assert abs(of(found).buckets.index(1) - of(true).buckets.index(1)) <= 1


@table(
    ("durations", "share", "expected"),
    [
        ((), 0.5, None),
        ((0.3,) * 4, 0.5, 0.375),  # evenly spread from 0.25 to 0.5
        ((0.3,) * 4, 1.0, 0.5),
        ((0.0,) * 4, 0.0, 0.0),
        ((100_000,), 0.5, 86_400.0),
        ((0.3, 100_000), 0.99, 86_400.0),
    ],
)
def test_quantiles(durations: tuple[float, ...], share: float, expected: float | None) -> None:
    assert of(*durations).quantile(share) == expected
