"""What a node makes of attempts that the database, or its manager, does not count as its own."""

from __future__ import annotations

from typing import Any, cast

import pytest
from bson import ObjectId
from tests.unit.node.fakes import WORKER, FakeClock, FakeStore, attempt, lease

from taskscheduler.store.completions import Sign
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.dispatch.manager_watchdog import ManagerWatchdog
from taskscheduler_daemon.node.maintenance.reconciler import Reconciler
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight

BOOT = ObjectId()


class FakeDispatcher:
    """Notes what is given up, and what is missed."""

    def __init__(self) -> None:
        self.given_up: list[Fence] = []
        self.missed: list[Fence] = []

    def give_up(self, fences: list[Fence]) -> None:
        self.given_up += fences

    def missing(self, fence: Fence) -> None:
        self.missed.append(fence)


class Bench:
    """A reconciler, and what it works with; its manager has just said something."""

    def __init__(self) -> None:
        self.store, self.clock, self.dispatcher = FakeStore(), FakeClock(), FakeDispatcher()
        self.in_flight, self.search = InFlight(), Search([])
        own_lease = lease(self.clock, 6.0)
        self.watchdog = ManagerWatchdog(0, own_lease.duration, self.clock)
        self.watchdog.heard(self.clock.seconds)
        self.reconciler = Reconciler(
            store=self.store.store,
            in_flight=self.in_flight,
            dispatcher=cast(Any, self.dispatcher),
            watchdog=self.watchdog,
            search=self.search,
            lease=own_lease,
            clock=self.clock,
        )

    def running(self, age: float, held: bool = True, **facts: Any) -> Attempt:
        """An attempt that was claimed so many seconds ago."""
        one = attempt(claimed_at=self.clock.seconds - age, **facts)
        self.in_flight.add([one])
        if held:
            self.store.leases.held[BOOT].append(one.fence)
        return one


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_attempt_that_is_not_ours_any_more_is_cancelled(bench: Bench) -> None:
    gone, kept = bench.running(1.0, held=False), bench.running(1.0)
    bench.reconciler.run()
    assert bench.dispatcher.given_up == [gone.fence]
    assert bench.store.leases.absolved == [gone.fence], "its node was perhaps taken for lost"
    assert kept.fence not in bench.dispatcher.given_up


def test_young_attempts_cost_no_look_at_the_database(bench: Bench) -> None:
    bench.running(0.3, held=False)
    bench.reconciler.run()
    assert (bench.store.faults.calls, bench.dispatcher.given_up) == ([], [])


def test_an_attempt_that_the_manager_does_not_mention_is_given_up(bench: Bench) -> None:
    forgotten, mentioned, young = bench.running(20.0), bench.running(20.0), bench.running(5.0)
    mentioned.seen_at = bench.clock.seconds - 1.0
    bench.reconciler.run()
    kept = bench.running(20.0)
    kept.kept = True
    bench.reconciler.run()
    assert {*bench.dispatcher.missed} == {forgotten.fence}, "the manager has not got the one that is kept"
    assert young.fence not in bench.dispatcher.missed


def test_a_manager_that_hangs_may_still_be_running_it(bench: Bench) -> None:
    bench.running(20.0)
    bench.watchdog.asked()
    bench.reconciler.run()
    assert bench.dispatcher.missed == [], "it owes an answer"
    bench.watchdog.heard(bench.clock.seconds)
    bench.clock.seconds += 7.0
    bench.reconciler.run()
    assert bench.dispatcher.missed == [], "it has been silent"


def test_signs_of_life_are_written_for_attempts_that_give_none(bench: Bench) -> None:
    quiet, talking = bench.running(5.0, parent=ObjectId()), bench.running(5.0)
    waiting, lost = bench.running(5.0), bench.running(5.0, held=False)
    quiet.worker = talking.worker = lost.worker = WORKER
    talking.noted = bench.clock.seconds - 1.0
    bench.reconciler.run()
    assert bench.store.completions.reports == [Sign(quiet.fence, {"worker": str(WORKER)}, quiet.parent, of_job=False)]
    assert waiting.fence not in [fence for fence, *_ in bench.store.completions.reports]
    bench.reconciler.run()
    assert len(bench.store.completions.reports) == 1, "not before a third of the lease has passed"
    bench.clock.seconds += 2.1
    talking.noted = bench.clock.seconds
    bench.watchdog.heard(bench.clock.seconds)
    bench.reconciler.run()
    assert len(bench.store.completions.reports) == 2


def test_a_busy_node_which_follows_no_messages_looks_more_often(bench: Bench) -> None:
    assert bench.reconciler.interval == 1.0, "six times in a lease"
    bench.search.idle.clear()
    assert bench.reconciler.interval == 0.4
