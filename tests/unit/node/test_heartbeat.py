"""The heartbeat that is the lease on all jobs of a node."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.support.eventually import eventually
from tests.unit.node.fakes import FakeClock, FakeStore, Threads, lease

from taskscheduler_daemon.node.heartbeat import Heartbeat
from taskscheduler_daemon.node.state.identity import NodeIdentity


class Bench:
    """A heartbeat, and what it has told the holder of the lease."""

    def __init__(self) -> None:
        self.store, self.clock, self.threads = FakeStore(), FakeClock(), Threads()
        self.node = NodeIdentity(ObjectId(), "node")
        self.lease = lease(self.clock, 3000.0)
        self.renewed: list[bool] = []
        self.lost = 0
        self.heartbeat = Heartbeat(
            store=self.store.store,
            node=self.node,
            lease=self.lease,
            status=cast(Any, SimpleNamespace(all=lambda: {"name": "node"})),
            holder=self,
            clock=self.clock,
            threads=self.threads,
        )

    def lease_renewed(self, lapsed: bool) -> None:
        assert self.lease.is_safe
        self.renewed.append(lapsed)

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
    assert bench.lease.safe_until == bench.clock.seconds + 2400.0


def test_a_node_that_cannot_be_registered_does_not_start(bench: Bench) -> None:
    bench.store.faults.fail("nodes.register", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        bench.heartbeat.start()
    assert (bench.renewed, bench.heartbeat._thread) == ([], None)


def test_a_beat_renews_the_lease_from_when_it_was_sent(bench: Bench) -> None:
    bench.heartbeat.start()
    beat = bench.store.nodes.beat

    def slow(*facts: Any) -> bool:
        answer = beat(*facts)
        bench.clock.seconds += 5.0
        return answer

    bench.store.nodes.beat = slow  # type: ignore[assignment, method-assign]
    bench.clock.seconds += 100.0
    sent = bench.clock.seconds
    bench.beat()
    eventually(lambda: bench.renewed == [False, False])
    assert bench.lease.safe_until == sent + 2400.0


def test_a_renewal_after_the_lease_had_lapsed_says_so(bench: Bench) -> None:
    bench.heartbeat.start()
    bench.clock.seconds += 2500.0
    bench.beat()
    eventually(lambda: bench.renewed == [False, True])


def test_a_node_that_was_declared_lost_ends_and_claims_nothing_more(bench: Bench) -> None:
    bench.heartbeat.start()
    bench.store.nodes.lost.append(bench.node.boot)
    bench.beat()
    eventually(lambda: bench.lost == 1)
    assert not bench.lease.is_safe
    assert bench.heartbeat._thread is not None
    bench.heartbeat._thread.join(10)
    assert not bench.heartbeat._thread.is_alive()


def test_a_beat_that_fails_is_tried_again_soon(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.store.faults.fail("nodes.beat", AutoReconnect("cut"))
    bench.heartbeat.start()
    bench.beat()
    eventually(lambda: len(bench.renewed) == 2)  # by itself, long before the next beat is due
    assert "heartbeat failed" in caplog.text


def test_one_that_was_never_started_can_be_stopped(bench: Bench) -> None:
    bench.heartbeat.stop()
