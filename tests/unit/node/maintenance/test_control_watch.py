"""A node reads what people have set every second, and at once when it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pymongo.errors import AutoReconnect
from tests.support.eventually import eventually
from tests.unit.node.fakes import FakeStore, Threads

from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.maintenance import control_watch
from taskscheduler_daemon.node.maintenance.control_watch import ControlWatch
from taskscheduler_daemon.node.state.controls import ControlView


class Bench:
    """A watch, and how often it had the claimer look."""

    def __init__(self) -> None:
        self.store, self.threads, self.search, self.looks = FakeStore(), Threads(), Search([]), 0
        self.view = ControlView(self.store.store)
        self.rate_looks = 0
        claimer = cast(Any, SimpleNamespace(look_everywhere=self._look))
        gatekeeper = cast(Any, SimpleNamespace(limits_changed=self._look_at_rates))
        self.asked: list[Any] = []
        stacks = cast(Any, SimpleNamespace(asked=self.asked.extend))
        self.watch = ControlWatch(self.view, claimer, gatekeeper, self.search, stacks, self.threads)

    def _look_at_rates(self) -> None:
        self.rate_looks += 1

    def _look(self) -> None:
        self.looks += 1

    @property
    def reads(self) -> int:
        return self.store.faults.calls.count("controls.load")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(control_watch, "_EVERY", 60.0)
    monkeypatch.setattr(control_watch, "_FOLLOWED", 60.0)
    monkeypatch.setattr(control_watch, "CHECK_WHEN_BUSY", 60.0)
    bench = Bench()
    yield bench
    bench.watch.stop()
    assert not bench.threads.crashed.is_set()


def test_the_settings_are_known_before_anything_is_claimed(bench: Bench) -> None:
    bench.store.controls.stored = [{"_id": "pause:all"}]
    bench.watch.start()
    assert len(bench.view.controls.pauses) == 1


def test_without_them_nothing_starts(bench: Bench) -> None:
    bench.store.faults.fail("controls.load", AutoReconnect("away"))
    with pytest.raises(AutoReconnect):
        bench.watch.start()


def test_a_change_is_seen_at_once_and_the_claimer_looks_for_what_was_held_back(bench: Bench) -> None:
    bench.watch.start()
    bench.watch.look_soon()
    eventually(lambda: bench.reads == 2)
    bench.store.controls.stored = [{"_id": "pause:all"}]
    bench.watch.look_soon()
    eventually(lambda: (bench.looks, bench.rate_looks) == (1, 1))
    assert len(bench.view.controls.pauses) == 1


@pytest.mark.parametrize("idle", [True, False])
def test_it_looks_now_and_then_also_without_a_message(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, idle: bool
) -> None:
    if not idle:
        bench.search.idle.clear()
    monkeypatch.setattr(control_watch, "_EVERY" if idle else "CHECK_WHEN_BUSY", 0.001)
    bench.watch.start()
    eventually(lambda: bench.reads > 3)


def test_while_it_hears_of_changes_it_need_not_look(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_watch, "_EVERY", 0.001)
    bench.watch.follows(True)
    bench.watch.start()
    bench.watch.look_soon()
    eventually(lambda: bench.reads == 2)
    bench.watch.follows(True)
    bench.watch.look_soon()
    eventually(lambda: bench.reads == 3)


def test_it_looks_at_once_and_then_every_second_when_it_hears_of_them_no_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.watch.follows(True)
    bench.watch.start()
    monkeypatch.setattr(control_watch, "_FOLLOWED", 60.0)
    monkeypatch.setattr(control_watch, "_EVERY", 0.001)
    bench.watch.follows(False)
    eventually(lambda: bench.reads > 3)


def test_while_the_database_is_away_the_last_known_settings_hold(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.store.controls.stored = [{"_id": "pause:all"}]
    bench.watch.start()
    bench.store.faults.fail("controls.load", AutoReconnect("away"), AutoReconnect("away"), ValueError("odd"))
    for reads in (2, 3, 4, 5):
        bench.watch.look_soon()
        eventually(lambda reads=reads: bench.reads == reads)  # type: ignore[misc]
    assert len(bench.view.controls.pauses) == 1
    assert caplog.text.count("settings of the cluster not read") == 2, "once for an error that goes on"
