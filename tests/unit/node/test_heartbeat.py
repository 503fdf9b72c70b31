"""The heartbeat that is the lease on all jobs of a node."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.support.eventually import eventually
from tests.support.tables import table
from tests.unit.node.fakes import SERVER_NOW, FakeClock, FakeStore, Threads, lease

from taskscheduler.store.nodes import Beat
from taskscheduler_daemon.node import heartbeat
from taskscheduler_daemon.node.heartbeat import BeatPlan, Heartbeat
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.lease import SAFE_PART


class Bench:
    """A heartbeat, and what it has told the holder of the lease."""

    def __init__(self) -> None:
        self.store, self.clock, self.threads = FakeStore(), FakeClock(), Threads()
        self.node = NodeIdentity(ObjectId(), "node")
        self.lease = lease(self.clock, 3000.0)
        self.renewed: list[bool] = []
        self.lost = 0
        self.drained = 0
        self.heartbeat = Heartbeat(
            store=self.store.store,
            node=self.node,
            lease=self.lease,
            status=cast(
                Any, SimpleNamespace(all=lambda: {"name": "node"}, at_start=lambda: {"name": "node", "jobs": []})
            ),
            holder=self,
            clock=self.clock,
            threads=self.threads,
        )

    def lease_renewed(self, lapsed: bool) -> None:
        assert self.lease.is_safe
        self.renewed.append(lapsed)

    def drain(self) -> None:
        self.drained += 1

    def lease_lost(self) -> None:
        self.lost += 1

    def beat(self) -> None:
        """Waits for one beat more."""
        before = self.store.faults.calls.count("nodes.beat")
        self.heartbeat.beat_now()
        eventually(lambda: self.store.faults.calls.count("nodes.beat") > before)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.heartbeat.stop()
    assert not bench.threads.crashed.is_set()


def test_a_node_is_registered_before_it_beats(bench: Bench) -> None:
    bench.heartbeat.start()
    assert bench.store.nodes.registered[bench.node.boot]["name"] == "node"
    assert bench.renewed == [False]
    assert bench.lease.safe_until == bench.clock.seconds + 2700.0


def test_a_node_that_cannot_be_registered_does_not_start(bench: Bench) -> None:
    bench.store.faults.fail("nodes.register", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        bench.heartbeat.start()
    assert (bench.renewed, bench.heartbeat._thread) == ([], None)


def test_a_beat_renews_the_lease_from_when_it_was_sent(bench: Bench) -> None:
    bench.heartbeat.start()
    beat = bench.store.nodes.beat

    def slow(*facts: Any) -> Beat | None:
        answer = beat(*facts)
        bench.clock.seconds += 5.0
        return answer

    bench.store.nodes.beat = slow  # type: ignore[assignment, method-assign]
    bench.clock.seconds += 100.0
    sent = bench.clock.seconds
    bench.beat()
    eventually(lambda: bench.renewed == [False, False])
    assert bench.lease.safe_until == sent + 2700.0


def test_a_renewal_after_the_lease_had_lapsed_says_so(bench: Bench) -> None:
    bench.heartbeat.start()
    bench.clock.seconds += 2800.0
    bench.beat()
    eventually(lambda: bench.renewed == [False, True])


def test_a_node_that_is_asked_to_drain_learns_it_with_the_next_beat(bench: Bench) -> None:
    bench.heartbeat.start()
    bench.beat()
    assert bench.drained == 0
    bench.store.nodes.drains = True
    bench.beat()
    eventually(lambda: bench.drained == 1)


def test_a_node_that_was_declared_lost_ends_and_claims_nothing_more(bench: Bench) -> None:
    bench.heartbeat.start()
    bench.store.nodes.lost.append(bench.node.boot)
    bench.beat()
    eventually(lambda: bench.lost == 1)
    assert not bench.lease.is_safe
    assert bench.heartbeat._thread is not None
    bench.heartbeat._thread.join(10)
    assert not bench.heartbeat._thread.is_alive()


def test_a_beat_that_fails_is_tried_again_soon(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_LONGEST_RETRY", 0.02)
    bench.store.faults.fail("nodes.beat", AutoReconnect("cut"))
    bench.heartbeat.start()
    bench.beat()
    eventually(lambda: len(bench.renewed) == 2)  # by itself, long before the next beat is due
    assert "heartbeat failed" in caplog.text


def test_a_beat_that_was_answered_late_is_followed_at_once(bench: Bench) -> None:
    """The lease counts from when a beat was sent, so the next one is planned from there too."""
    beat, sent = bench.store.nodes.beat, []

    def slow(*facts: Any) -> Beat | None:
        sent.append(bench.clock.seconds)
        if len(sent) == 1:
            bench.clock.seconds += 1600.0
        return beat(*facts)

    bench.store.nodes.beat = slow  # type: ignore[assignment, method-assign]
    bench.heartbeat.start()
    bench.clock.seconds += 999.0
    bench.beat()
    eventually(lambda: len(sent) == 2)  # by itself
    assert bench.renewed == [False, False, False]
    assert bench.lease.safe_until == sent[1] + 2700.0


# -- the plan ---------------------------------------------------------------------------------------------------------


class Database:
    """A database that answers nobody during some periods, and everything at their end."""

    def __init__(self, frozen: list[tuple[float, float]]) -> None:
        self._frozen = frozen

    def answers(self, sent: float) -> float:
        """The time of the answer to what was sent then."""
        return next((end for begin, end in self._frozen if begin <= sent < end), sent)


def longest_without(plan: BeatPlan, duration: float, database: Database, until: float) -> float:
    """The part of a lease that was used up at most before a renewal was answered."""
    longest = renewed = answered = 0.0
    plan.answered(0.0, 0.0)
    while plan.due < until:
        sent = max(plan.due, answered)
        answered = database.answers(sent)
        longest, renewed = max(longest, answered - renewed), sent
        plan.answered(sent, answered)
    return longest / duration


class FromTheAnswer(BeatPlan):
    """Plans the next beat as if the lease counted from the answer."""

    def answered(self, sent: float, now: float) -> None:
        self.due = now + self._lease.renewal_interval


@table("duration", [0.5, 30.0, 600.0])
@table("phase", [0.01, 0.1, 0.3, 0.33, 0.5, 0.66, 0.99])
@table("pause", [0.02, 0.3, 0.5, 1.2])
def test_a_database_that_is_away_for_half_a_lease_again_and_again_costs_no_lease(
    duration: float, phase: float, pause: float
) -> None:
    frozen = [((phase + n * (0.5 + pause)) * duration, (phase + 0.5 + n * (0.5 + pause)) * duration) for n in range(9)]
    plan = BeatPlan(lease(FakeClock(), duration))
    assert longest_without(plan, duration, Database(frozen), 20 * duration) < SAFE_PART


def test_a_plan_from_the_answer_would_lose_the_lease() -> None:
    plan = FromTheAnswer(lease(FakeClock(), 30.0))
    assert longest_without(plan, 30.0, Database([(9.9, 24.9), (34.8, 49.8)]), 90.0) > SAFE_PART


def test_after_a_failure_a_node_beats_more_often_for_a_lease() -> None:
    plan = BeatPlan(lease(FakeClock(), 30.0))
    plan.answered(100.0, 100.1)
    assert plan.due == 110.0
    plan.failed(110.0)
    assert plan.due == 110.5
    plan.answered(110.5, 110.6)
    assert plan.due == 115.5
    plan.answered(139.9, 139.9)
    assert plan.due == 144.9
    plan.answered(140.0, 140.0)
    assert plan.due == 150.0


@pytest.mark.parametrize(("late", "due"), [(2.4, 110.0), (2.6, 105.0), (9.0, 105.0)])
def test_after_a_late_answer_too(late: float, due: float) -> None:
    plan = BeatPlan(lease(FakeClock(), 30.0))
    plan.answered(100.0, 100.0 + late)
    assert plan.due == due


def test_one_that_was_never_started_can_be_stopped(bench: Bench) -> None:
    bench.heartbeat.stop()


def test_an_answer_that_comes_soon_sets_the_clock_of_the_server(bench: Bench) -> None:
    beat, takes = bench.store.nodes.beat, iter([0.08, 5.0])

    def slow(*facts: Any) -> Beat | None:
        bench.clock.seconds += next(takes)
        return beat(*facts)

    bench.store.nodes.beat = slow  # type: ignore[assignment, method-assign]
    bench.heartbeat.start()
    sent = bench.clock.seconds
    for renewed in ([False, False], [False, False, False]):
        bench.beat()
        eventually(partial(renewed.__eq__, bench.renewed))
        assert bench.store.clock.at(sent + 0.04) == pytest.approx(SERVER_NOW.timestamp()), "halfway of the quick one"
