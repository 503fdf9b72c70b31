"""A count that has reached its limit is not made again for some seconds."""

from __future__ import annotations

from tests.support.claiming import SettableClock

from taskscheduler.store.counts import reached
from taskscheduler.store.counts.reached import Reached


def test_it_is_so_for_some_seconds() -> None:
    clock = SettableClock()
    many = Reached(clock)
    assert "mail" not in many
    many.note("mail")
    clock.pause(4.9)
    assert "mail" in many
    assert "files" not in many
    clock.pause(0.2)
    assert "mail" not in many


def test_few_are_noted() -> None:
    many = Reached(SettableClock())
    for number in range(2 * reached._MOST_NOTED):
        many.note(number)
    assert len(many._noted) <= reached._MOST_NOTED
