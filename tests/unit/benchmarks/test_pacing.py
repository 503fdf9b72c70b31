"""How calls are paced, and their percentiles."""

from __future__ import annotations

import time

import pytest
from tests.benchmarks.pacing import in_threads, paced, percentiles


def test_percentiles_are_in_milliseconds() -> None:
    seconds = [number / 1000 for number in range(1, 100)]
    assert percentiles(seconds) == {"p50": pytest.approx(50), "p99": pytest.approx(99)}


def test_no_call_is_made_before_its_time() -> None:
    begin = time.monotonic()
    calls = paced(4, 0.01, lambda: None)
    assert all(at >= begin + 0.01 * number for number, (at, _) in enumerate(calls, 1))
    assert all(took >= 0 for _, took in calls)


def test_every_thread_calls() -> None:
    called: list[int] = []
    assert in_threads(3, 0.0, lambda: called.append(1)) > 0
    assert len(called) == 3
