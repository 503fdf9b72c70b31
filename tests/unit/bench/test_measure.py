"""Percentiles of the benchmark, and which collections it takes for forgotten ones."""

from __future__ import annotations

from datetime import timedelta

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler_daemon.bench.measure import PREFIX, is_forgotten, percentiles


def test_percentiles_are_in_milliseconds() -> None:
    seconds = [number / 1000 for number in range(101)]
    assert percentiles("start", seconds) == {
        "start_p50_ms": pytest.approx(50),
        "start_p99_ms": pytest.approx(99),
    }


def test_percentiles_do_not_depend_on_the_order() -> None:
    assert percentiles("x", [0.3, 0.1, 0.2]) == percentiles("x", [0.1, 0.2, 0.3])


def test_two_samples_are_enough() -> None:
    assert percentiles("x", [0.1, 0.2]) == {"x_p50_ms": pytest.approx(150), "x_p99_ms": pytest.approx(199)}


@table(("hours", "forgotten"), [(0.0, False), (0.9, False), (1.1, True), (48.0, True)])
def test_collections_are_forgotten_after_an_hour(hours: float, forgotten: bool) -> None:
    began = ObjectId.from_datetime(SYSTEM_CLOCK.now() - timedelta(hours=hours))
    assert is_forgotten(f"{PREFIX}{began}.jobs") is forgotten


def test_a_collection_of_another_name_is_never_forgotten() -> None:
    assert not is_forgotten(f"{PREFIX}mine.jobs")
