"""Pauses end at their time, and what a dead resume has left behind is finished."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pymongo.errors import OperationFailure
from tests.unit.node.fakes import SERVER_NOW, FakeClock, FakeStore, lease

from taskscheduler.clock import NEVER
from taskscheduler_daemon.node.maintenance.pause_keeper import PauseKeeper
from taskscheduler_daemon.node.state.controls import ControlView


class Bench:
    """A keeper, and the pauses that its node knows."""

    def __init__(self, *stored: dict[str, object]) -> None:
        self.store, self.clock = FakeStore(), FakeClock()
        self.store.controls.stored = list(stored)
        self.view = ControlView(self.store.store)
        self.view.refresh()
        self.keeper = PauseKeeper(self.store.store, self.view, self.clock, lease(self.clock))

    def park(self, count: int, key: str) -> None:
        self.store.blocked_jobs.park(self.store.claims.add(count), key)


def test_jobs_of_a_pause_that_holds_stay_where_they_are() -> None:
    bench = Bench({"_id": "pause:job:mail"})
    bench.park(3, "pause:job:mail")
    bench.keeper.run()
    assert (len(bench.store.claims.waiting), bench.keeper.next_at) == (0, NEVER)


def test_jobs_without_a_pause_wait_again_and_nodes_are_woken() -> None:
    bench = Bench({"_id": "pause:job:mail"})
    bench.park(5, "pause:tag:x")
    bench.keeper.run()
    assert len(bench.store.claims.waiting) == 5
    assert set(bench.store.wakeups.rearmed) == set(bench.store.claims.waiting)


def test_a_pause_that_others_have_just_set_counts_although_this_node_has_not_heard_of_it() -> None:
    bench = Bench()
    bench.store.controls.stored = [{"_id": "pause:job:mail"}]
    bench.park(3, "pause:job:mail")
    bench.keeper.run()
    assert not bench.store.claims.waiting


def test_a_pause_ends_at_its_time() -> None:
    bench = Bench({"_id": "pause:job:mail", "until": SERVER_NOW + timedelta(seconds=7)}, {"_id": "pause:all"})
    bench.park(3, "pause:job:mail")
    bench.keeper.run()
    assert 7.0 <= bench.keeper.next_at - bench.clock.seconds < 7.1
    assert len(bench.store.claims.waiting) == 0
    bench.store.clock.synchronize(SERVER_NOW + timedelta(seconds=7.01), bench.clock.seconds)
    bench.keeper.run()
    assert [one["_id"] for one in bench.store.controls.stored] == ["pause:all"]
    assert (len(bench.store.claims.waiting), bench.keeper.next_at) == (3, NEVER)


def test_a_pause_that_cannot_be_removed_holds_no_job_and_is_left_to_the_next_poll() -> None:
    bench = Bench({"_id": "pause:job:mail", "until": SERVER_NOW + timedelta(seconds=7)})
    bench.park(3, "pause:job:mail")
    bench.keeper.run()
    bench.store.clock.synchronize(SERVER_NOW + timedelta(seconds=7.01), bench.clock.seconds)
    bench.store.faults.fail("controls.delete_over", OperationFailure("not allowed"))
    with pytest.raises(OperationFailure):
        bench.keeper.run()
    assert (len(bench.store.claims.waiting), bench.keeper.next_at) == (3, NEVER)


def test_of_many_jobs_only_some_wait_again_before_other_duties_have_their_turn() -> None:
    bench = Bench()
    bench.park(25, "pause:tag:x")
    bench.keeper.run()
    assert (len(bench.store.claims.waiting), bench.keeper.next_at) == (10, bench.clock.seconds)
    bench.keeper.run()
    bench.keeper.run()
    assert (len(bench.store.claims.waiting), bench.keeper.next_at) == (25, NEVER)
