"""Clocks, deadlines and the pauses between tries that fail in a row."""

from __future__ import annotations

import math
import random
import time
from datetime import UTC, datetime, timedelta

import pytest

from taskscheduler.clock import SYSTEM_CLOCK, Backoff, Deadline, ServerClock, SystemClock

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def test_time_goes_on_where_a_test_freezes_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)
    before = SYSTEM_CLOCK.monotonic()
    SYSTEM_CLOCK.pause(0.001)
    assert SYSTEM_CLOCK.monotonic() > before


class SettableClock:
    """A clock that moves only when somebody pauses on it."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        raise AssertionError("the date of this host is not to be asked for")

    def pause(self, seconds: float) -> None:
        self.seconds += seconds


def test_the_clock_of_the_host_waits_as_long_as_it_is_told() -> None:
    begun = time.monotonic()
    SystemClock().pause(0.05)
    assert time.monotonic() - begun >= 0.05


@pytest.mark.parametrize("seconds", [0, -3])
def test_a_pause_of_no_length_returns_at_once(seconds: float) -> None:
    begun = time.monotonic()
    SystemClock().pause(seconds)
    assert time.monotonic() - begun < 1


def test_the_clock_of_the_host_gives_aware_dates() -> None:
    assert SYSTEM_CLOCK.now().tzinfo is UTC


def test_the_clock_of_the_server_goes_on_by_monotonic_time_alone() -> None:
    host = SettableClock()
    server = ServerClock(host, NOON)
    server.pause(90)
    assert host.seconds == 190
    assert server.monotonic() == 190
    assert server.now() == NOON + timedelta(seconds=90)


def test_a_deadline_passes_when_its_time_is_over_and_not_before() -> None:
    clock = SettableClock()
    deadline = Deadline(5, clock)
    assert deadline.left(60) == 5
    assert deadline.left(2) == 2
    clock.pause(4.5)
    assert (deadline.left(60), deadline.passed) == (0.5, False)
    clock.pause(0.5)
    assert deadline.passed
    clock.pause(1)
    assert deadline.left(60) == 0


def test_no_time_is_left_of_a_negative_one() -> None:
    clock = SettableClock()
    for seconds in (-0.5, float("-inf")):
        assert (Deadline(seconds, clock).left(seconds), Deadline(seconds, clock).passed) == (0, True)
    assert (Deadline(None, clock).left(-1), Deadline(5, clock).left(-1)) == (0, 0)


def test_a_pause_ends_at_the_deadline() -> None:
    clock = SettableClock()
    deadline = Deadline(5, clock)
    deadline.pause(3)
    assert clock.seconds == 103
    deadline.pause(3)
    assert clock.seconds == 105


def test_without_seconds_a_deadline_never_passes() -> None:
    clock = SettableClock()
    deadline = Deadline(None, clock)
    clock.pause(10**9)
    assert not deadline.passed
    assert deadline.left(7) == 7


def test_pauses_double_up_to_the_longest_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(0.5, 3)
    assert [backoff.next() for _ in range(5)] == [0.5, 1, 2, 3, 3]
    backoff.reset()
    assert backoff.next() == 0.5


def test_another_factor_grows_the_pauses_by_it() -> None:
    backoff = Backoff(1, 100, factor=5)
    assert [backoff.next() for _ in range(4)] == [1, 5, 25, 100]


def test_a_backoff_that_failed_for_ever_stays_finite() -> None:
    backoff = Backoff(1, 60)
    assert max(backoff.next() for _ in range(5000)) == 60
    assert math.isfinite(backoff.next())


def test_jitter_only_shortens_and_by_no_more_than_its_part() -> None:
    random.seed(1)
    pauses = [Backoff(10, 10, jitter=0.2).next() for _ in range(1000)]
    assert all(8 <= pause <= 10 for pause in pauses)
    assert min(pauses) < 8.5
    assert max(pauses) > 9.5


def test_jitter_does_not_change_how_the_pauses_grow() -> None:
    backoff = Backoff(1, 8, jitter=0.5)
    for length in (1, 2, 4, 8, 8):
        assert length / 2 <= backoff.next() <= length


def test_the_clock_of_the_server_is_set_again_where_it_has_drifted_away() -> None:
    clock = SettableClock()
    server = ServerClock(clock, NOON)
    clock.seconds += 60
    assert server.at(130.0) == NOON.timestamp() + 30
    server.synchronize(NOON + timedelta(seconds=61), clock.seconds - 1)
    assert server.now() == NOON + timedelta(seconds=62)
    assert server.at(130.0) == NOON.timestamp() + 32
