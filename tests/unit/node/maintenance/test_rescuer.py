"""How soon the jobs of a lost node are rescued, in time that passes only while the maintainer waits."""

from __future__ import annotations

from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.unit.node.fakes import FakeClock, FakeStore, Threads, lease
from tests.unit.node.maintenance.test_maintainer import PassingTime

from taskscheduler.clock import NEVER
from taskscheduler.model.lifecycle import Transition
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.maintenance.maintainer import Maintainer
from taskscheduler_daemon.node.maintenance.rescuer import Rescuer
from taskscheduler_daemon.node.maintenance.schema_keeper import SchemaKeeper
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.node.state.meter import Meter


class Searches:
    """A claimer that counts how often it is to look everywhere."""

    def __init__(self) -> None:
        self.count = 0

    def look_everywhere(self) -> None:
        self.count += 1


def rescuer(store: FakeStore, clock: FakeClock, own_lease: Lease, boot: ObjectId | None = None) -> Rescuer:
    return Rescuer(
        store=store.store,
        node=NodeIdentity(boot or ObjectId(), "rescuer"),
        claimer=cast(Any, Searches()),
        meter=Meter(store.store.clock),
        lease=own_lease,
        max_lost=3,
        clock=clock,
    )


class Story(FakeStore):
    """A rescuer with this lease, and a node with another one that beats for the last time right after a look."""

    def __init__(self, own: float, victims: float) -> None:
        super().__init__()
        self.time, self.looks, self.silence = PassingTime(), list[float](), 0.0
        self.victim = {"_id": ObjectId(), "name": "victim", "lease": victims}
        self.job = Fence(ObjectId(), "claim", 1)
        self.leases.held[cast(ObjectId, self.victim["_id"])] = [self.job]
        self.nodes.all = self._read  # type: ignore[method-assign]
        self.nodes.declare_lost = self._declared  # type: ignore[assignment, method-assign]
        own_lease = lease(self.time, own)
        self.rescuer = rescuer(self, self.time, own_lease)
        schema = SchemaKeeper(self.store, own_lease)
        self.maintainer = Maintainer(schema, [self.rescuer], self.time, self.time, Threads())

    def play(self) -> None:
        self.maintainer._loop()

    def _read(self) -> list[dict[str, Any]]:
        self.looks.append(self.time.monotonic())
        return [{**self.victim, "beat": min(len(self.looks), 4)}]

    def _declared(self, _: ObjectId, beat: int) -> bool:
        assert beat == 4
        self.silence = self.time.monotonic() - self.looks[2]
        self.maintainer._stopped.set()
        return True


@pytest.mark.parametrize("own", [2.0, 30.0, 300.0])
@pytest.mark.parametrize("victims", [0.5, 4.0, 30.0])
def test_a_dead_node_is_found_within_its_lease_and_5_seconds_whatever_the_lease_of_others(
    victims: float, own: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskscheduler_daemon.node.maintenance.schema_keeper.ensure", lambda *_: frozenset())
    for _ in range(5):
        story = Story(own, victims)
        story.play()
        assert victims <= story.silence < victims + 5
        assert len(story.looks) <= 6 + story.silence / min(3.5, own / 4), "and nobody looks all the time"
        assert [one.fence for one in story.completions.written] == [story.job]


def lost_node(store: FakeStore, **facts: Any) -> Fence:
    """A job of a node that was declared lost."""
    boot, fence = ObjectId(), Fence(ObjectId(), "claim", 1)
    store.nodes.registered[boot] = {"_id": boot, "name": "victim", "beat": 7, "lost": True, **facts}
    store.leases.held[boot] = [fence]
    return fence


def test_jobs_of_a_lost_node_wait_again_and_are_searched_for() -> None:
    store, clock = FakeStore(), FakeClock()
    under_test = rescuer(store, clock, lease(clock))
    fence = lost_node(store)
    under_test.run()
    written = store.completions.written
    assert [(one.fence, one.verdict.move, one.lost) for one in written] == [(fence, Transition.RELEASE, False)]
    assert cast(Searches, under_test._claimer).count == 1


def test_a_node_that_held_nothing_leaves_nothing_to_search_for() -> None:
    store, clock = FakeStore(), FakeClock()
    under_test = rescuer(store, clock, lease(clock))
    lost_node(store)
    store.leases.held.clear()
    under_test.run()
    assert (store.completions.written, cast(Searches, under_test._claimer).count) == ([], 0)


def test_a_node_that_beats_in_the_last_moment_keeps_its_jobs() -> None:
    store, clock = FakeStore(), FakeClock()
    under_test = rescuer(store, clock, lease(clock))
    lost_node(store)
    node = next(iter(store.nodes.registered.values()))
    del node["lost"]
    under_test.run()
    clock.seconds += 31.0
    read = store.nodes.all
    store.nodes.all = lambda: [dict(one) for one in read()]  # type: ignore[method-assign]
    store.leases.owners = lambda: node.update(beat=8) or {node["_id"]}  # type: ignore[method-assign]
    under_test.run()
    assert store.completions.written == []


def test_a_node_does_not_rescue_its_own_jobs() -> None:
    store, clock = FakeStore(), FakeClock()
    lost_node(store)
    under_test = rescuer(store, clock, lease(clock), boot=next(iter(store.nodes.registered)))
    under_test.run()
    assert store.completions.written == []


def test_a_node_does_not_declare_itself_lost() -> None:
    """It may only be cut off for a while, and still has the ends of its jobs to write."""
    store, clock = FakeStore(), FakeClock()
    lost_node(store)
    (node,) = store.nodes.registered.values()
    del node["lost"]
    under_test = rescuer(store, clock, lease(clock), boot=node["_id"])
    for _ in range(3):
        under_test.run()
        clock.seconds += 31.0
    assert store.nodes.lost == []


def test_after_a_fault_it_does_not_look_again_before_its_interval() -> None:
    store, clock = FakeStore(), FakeClock()
    under_test = rescuer(store, clock, lease(clock))
    lost_node(store, lease=5.0)
    del next(iter(store.nodes.registered.values()))["lost"]
    under_test.run()
    assert under_test.next_at == clock.seconds + 5.0
    clock.seconds += 6.0
    store.faults.fail("nodes.all", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        under_test.run()
    assert under_test.next_at == NEVER
    under_test.run()
    assert len(store.completions.written) == 1
