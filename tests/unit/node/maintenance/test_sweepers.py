"""What is looked at again and again because a message or a process may be lost."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pymongo.errors import AutoReconnect
from tests.unit.node.fakes import FakeStore, attempt, lease
from tests.unit.node.maintenance.test_rescuer import Searches

from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.maintenance.program_sweeper import ProgramSweeper
from taskscheduler_daemon.node.maintenance.rescan import Rescan
from taskscheduler_daemon.node.maintenance.solo_sweeper import SoloSweeper


def test_a_rescan_searches_all_queues() -> None:
    claimer = Searches()
    Rescan(cast(Any, claimer), lease()).run()
    assert claimer.count == 1


def test_locks_are_extended_before_others_are_admitted() -> None:
    store, solo = FakeStore(), attempt(solo="key")
    locks = ExclusiveLocks(store.store, lease())
    locks.await_exit(solo)
    store.faults.calls.clear()
    SoloSweeper(store.store, locks, lease()).run()
    assert store.faults.calls == ["locks.extend", "locks.sweep"]
    assert store.solo_locks.extended[-1] == solo.fence


def test_locks_are_extended_whatever_becomes_of_the_sweep() -> None:
    store, solo = FakeStore(), attempt(solo="key")
    locks = ExclusiveLocks(store.store, lease())
    locks.await_exit(solo)
    store.faults.fail("locks.sweep", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        SoloSweeper(store.store, locks, lease()).run()
    assert store.solo_locks.extended == [solo.fence] * 2


def test_silent_programs_are_ended() -> None:
    store = FakeStore()
    ProgramSweeper(store.store, lease()).run()
    assert store.faults.calls == ["programs.end_silent"]


@pytest.mark.parametrize(("duration", "poll"), [(30.0, 2.0), (1.5, 0.25)])
def test_a_short_lease_is_looked_after_more_often(duration: float, poll: float) -> None:
    sweep = Rescan(cast(Any, Searches()), lease(duration=duration))
    assert sweep.poll == poll
    assert 0.75 * poll <= sweep.interval <= 1.25 * poll
