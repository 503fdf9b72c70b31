"""Schedules are looked at when the next one is due, and otherwise hardly ever."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pymongo.errors import AutoReconnect
from tests.unit.node.fakes import FakeClock, lease

from taskscheduler.clock import NEVER
from taskscheduler.store.schedules import MOST
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.maintenance import planner as module
from taskscheduler_daemon.node.maintenance.planner import Planner

NOW = datetime(2027, 6, 1, tzinfo=UTC)


class Bench:
    """A planner, and the schedules that it finds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.search, self.wake = FakeClock(), Search([]), threading.Event()
        self.next_due: datetime | None = None
        self.after_look: datetime | None = None  #: when the next one is due then
        self.looked = 0  #: at so many schedules
        self.looks = 0
        store = SimpleNamespace(
            schedules=SimpleNamespace(next_due=lambda: self.next_due), clock=SimpleNamespace(now=lambda: NOW)
        )
        monkeypatch.setattr(module, "add_due_runs", self._look)
        self.planner = Planner(cast(Any, store), self.search, self.wake, self.clock, lease(self.clock))

    def _look(self, _store: Any) -> int:
        self.looks += 1
        self.next_due = self.after_look
        return self.looked


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_without_schedules_an_idle_node_looks_once_a_minute(bench: Bench) -> None:
    bench.planner.run()
    assert (bench.looks, bench.planner.next_at, bench.planner.interval) == (0, NEVER, 60.0)


def test_a_busy_node_hears_no_messages_and_looks_every_second(bench: Bench) -> None:
    bench.search.idle.clear()
    assert bench.planner.interval == 1.0


def test_the_next_schedule_is_looked_at_when_it_is_due(bench: Bench) -> None:
    bench.next_due = NOW + timedelta(seconds=7)
    bench.planner.run()
    assert bench.looks == 0, "it asks only when the first one is due"
    assert 7.0 <= bench.planner.next_at - bench.clock.seconds <= 7.1, "by the clock of the server, never early"


def test_what_is_due_is_looked_at(bench: Bench) -> None:
    bench.looked, bench.next_due, bench.after_look = 1, NOW, NOW + timedelta(seconds=3)
    bench.planner.run()
    assert bench.looks == 1
    assert 3.0 <= bench.planner.next_at - bench.clock.seconds <= 3.1


def test_more_than_one_look_can_take_follow_at_once(bench: Bench) -> None:
    bench.looked, bench.next_due = MOST, NOW - timedelta(seconds=3)
    bench.after_look = bench.next_due
    bench.planner.run()
    assert bench.planner.next_at == bench.clock.seconds


def test_a_schedule_that_was_changed_is_looked_at_soon(bench: Bench) -> None:
    bench.planner.run()
    bench.planner.look_soon()
    assert bench.wake.is_set()
    assert bench.planner.next_at < bench.clock.seconds
    bench.planner.run()
    assert bench.planner.next_at == NEVER


def test_after_a_failure_it_looks_again_before_long(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_store: Any) -> int:
        raise AutoReconnect("cut")

    bench.next_due = NOW
    monkeypatch.setattr(module, "add_due_runs", fail)
    with pytest.raises(AutoReconnect):
        bench.planner.run()
    assert 0 < bench.planner.next_at - bench.clock.seconds <= 2.0
