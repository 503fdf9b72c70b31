"""Refused attempts are written down, but not so many that somebody could fill the audit log."""

from __future__ import annotations

from taskscheduler.clock import SystemClock
from taskscheduler.model.audit.refusals import ALL, EACH, PERIOD, RefusalLimit


class SetClock(SystemClock):
    """A clock that a test sets."""

    time = 0.0

    def monotonic(self) -> float:
        return self.time


def test_each_name_has_a_bound_and_the_next_entry_says_how_many_were_left_out() -> None:
    clock = SetClock()
    limit = RefusalLimit(clock)
    assert [limit.admits("vera") for _ in range(EACH + 3)] == [0] * EACH + [None] * 3
    assert limit.admits("otto") == 0
    clock.time = PERIOD
    assert [limit.admits("vera"), limit.admits("vera")] == [3, 0]


def test_many_names_have_a_bound_together() -> None:
    limit = RefusalLimit(SetClock())
    admitted = [limit.admits(f"name{number}") for number in range(5 * ALL)]
    assert len([one for one in admitted if one is not None]) == ALL


def test_what_is_remembered_of_names_is_bounded() -> None:
    limit = RefusalLimit(SetClock())
    for number in range(5000):
        limit.admits(f"name{number}")
    assert len(limit._left_out) == 1000
