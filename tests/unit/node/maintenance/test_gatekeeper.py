"""Places of cancelled jobs are kept, parked jobs are let in, and rates are looked at when they allow a start."""

from __future__ import annotations

import threading

import pytest
from pymongo.errors import AutoReconnect
from tests.unit.node.fakes import FakeClock, FakeStore, attempt, lease

from taskscheduler.clock import NEVER
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.maintenance.duty import CHECK_WHEN_BUSY
from taskscheduler_daemon.node.maintenance.gatekeeper import Gatekeeper
from taskscheduler_daemon.node.state.in_flight import Attempt


class Bench:
    """A gatekeeper, and what it works with."""

    def __init__(self) -> None:
        self.store, self.clock, self.wake = FakeStore(), FakeClock(), threading.Event()
        own = lease(self.clock)
        self.locks = ExclusiveLocks(self.store.store, own)
        self.search = Search([])
        self.gatekeeper = Gatekeeper(self.store.store, self.search, self.locks, self.clock, own, self.wake)

    def holding(self) -> Attempt:
        """An attempt that was cancelled and still runs."""
        held = attempt(limits=["a"])
        self.locks.await_exit(held)
        self.store.faults.calls.clear()
        return held

    def run(self) -> list[str]:
        """What one run asks of the store."""
        self.store.faults.calls.clear()
        self.gatekeeper.run()
        return list(self.store.faults.calls)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_places_are_extended_before_others_are_admitted(bench: Bench) -> None:
    held = bench.holding()
    assert bench.run() == ["places.extend", "places.sweep", "rates.find", "places.admit_rates"]
    assert bench.store.places.extended[-1] == held.fence


def test_the_list_of_a_committed_job_is_looked_at_first(bench: Bench) -> None:
    bench.run()
    bench.gatekeeper.admit_soon("limit:x")
    assert bench.gatekeeper.next_at == float("-inf")
    assert bench.run()[0] == "places.admit_next"
    assert "places.admit_next" not in bench.run()


def test_places_are_extended_whatever_becomes_of_the_sweep(bench: Bench) -> None:
    held = bench.holding()
    bench.store.faults.fail("places.sweep", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        bench.gatekeeper.run()
    assert bench.store.places.extended == [held.fence]


def test_a_node_that_follows_no_messages_looks_at_the_rates_more_often(bench: Bench) -> None:
    assert bench.gatekeeper.interval > CHECK_WHEN_BUSY
    bench.search.idle.clear()
    assert bench.gatekeeper.interval == CHECK_WHEN_BUSY
    assert bench.run() == ["places.sweep", "rates.find", "places.admit_rates"]
    assert bench.run() == ["places.admit_rates"], "it need not do so for each start"
    bench.clock.seconds += CHECK_WHEN_BUSY
    assert bench.run() == ["rates.find", "places.admit_rates"]


def test_between_two_polls_only_rates_are_looked_at(bench: Bench) -> None:
    assert bench.run() == ["places.sweep", "rates.find", "places.admit_rates"]
    assert bench.run() == ["places.admit_rates"]
    bench.clock.pause(bench.gatekeeper.poll)
    assert bench.run() == ["places.sweep", "places.admit_rates"]


def test_many_rates_do_not_keep_places_from_being_extended(bench: Bench) -> None:
    held = bench.holding()
    bench.store.admission.wait = 0.1
    for _ in range(100):
        bench.gatekeeper.run()
        bench.clock.pause(0.1)
    assert bench.store.places.extended.count(held.fence) >= 100 * 0.1 / bench.gatekeeper.poll


@pytest.mark.parametrize("sweeps", [True, False])
def test_the_next_start_that_a_rate_allows_is_waited_for(bench: Bench, sweeps: bool) -> None:
    if not sweeps:
        bench.run()
    bench.store.admission.wait = 0.25
    bench.run()
    assert bench.gatekeeper.next_at == pytest.approx(bench.clock.seconds + 0.25)
    bench.store.admission.wait = None
    bench.run()
    assert bench.gatekeeper.next_at == NEVER


def test_after_a_sweep_that_got_somewhere_the_next_one_comes_soon(bench: Bench) -> None:
    bench.store.admission.wait = 0.0
    bench.run()
    bench.store.admission.wait = None
    bench.clock.seconds += 0.2
    assert bench.run() == ["places.sweep", "places.admit_rates"]
    assert bench.gatekeeper.next_at == NEVER
    bench.clock.seconds += 0.2
    assert bench.run() == ["places.admit_rates"]


def test_a_very_fast_rate_is_not_looked_at_all_the_time(bench: Bench) -> None:
    bench.store.admission.wait = 0.0
    bench.run()
    assert bench.gatekeeper.next_at > bench.clock.seconds


def test_a_job_that_may_wait_for_a_rate_is_looked_at_soon(bench: Bench) -> None:
    bench.store.admission.wait = 3600.0
    bench.run()
    bench.gatekeeper.look_soon()
    assert bench.wake.is_set()
    assert bench.gatekeeper.next_at < bench.clock.seconds
    assert bench.run() == ["rates.find", "places.admit_rates"], "its list may be new"
    assert bench.gatekeeper.next_at == bench.clock.seconds + 3600
    assert bench.run() == ["places.admit_rates"]


def test_after_a_change_of_a_limit_all_rates_are_looked_at_soon(bench: Bench) -> None:
    bench.run()
    bench.gatekeeper.limits_changed()
    assert bench.store.faults.calls[-1] == "rates.look_at_all"
    assert bench.wake.is_set()
    assert bench.gatekeeper.next_at < bench.clock.seconds


def test_after_a_fault_it_waits_for_its_interval(bench: Bench) -> None:
    bench.store.admission.wait = 0.0
    bench.run()
    bench.store.faults.fail("places.admit_rates", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        bench.gatekeeper.run()
    assert bench.gatekeeper.next_at == NEVER
