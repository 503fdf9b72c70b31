"""What a node asks for, and when it asks again."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.support.eventually import eventually
from tests.unit.node.fakes import FakeClock, FakeStore, Threads, attempt, lease

from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.claiming.pipeline import ClaimPipeline
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight


class Bench:
    """A claimer of a node with two slots, and the jobs that it has dispatched."""

    def __init__(self, max_jobs: int = 0, queues: tuple[str, ...] = ()) -> None:
        self.store, self.clock, self.in_flight, self.threads = FakeStore(), FakeClock(), InFlight(), Threads()
        self.lease = lease(self.clock)
        self.capacity = Capacity(self.in_flight, self.lease, max_jobs)
        self.capacity.set_slots(2, 10)
        self.dispatched: list[ObjectId] = []
        node = NodeIdentity(ObjectId(), "node")
        self.partition = Partition(node.boot, 30.0)
        self.search = Search(queues)
        dispatcher = cast(Any, SimpleNamespace(dispatch=self._dispatch))
        self.claimer = Claimer(
            store=self.store.store,
            capacity=self.capacity,
            pipeline=ClaimPipeline(self.store.store, node, self.capacity, dispatcher, self.clock),
            search=self.search,
            partition=self.partition,
            clock=self.clock,
            threads=self.threads,
        )

    def _dispatch(self, attempts: list[Attempt]) -> None:
        self.dispatched += [one.fence.job_id for one in attempts]

    def look(self) -> list[ObjectId]:
        """What one look dispatches."""
        self.dispatched = []
        self.claimer._look()
        return self.dispatched

    def at_rest(self) -> None:
        """It has looked everywhere and found nothing."""
        assert self.look() == []
        self.store.faults.calls.clear()
        self.claimer._wake.clear()

    def end_all(self) -> None:
        self.in_flight.clear()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.claimer.stop()
    assert not bench.threads.crashed.is_set()


def test_as_many_jobs_are_claimed_as_there_is_room_for(bench: Bench) -> None:
    ids = bench.store.claims.add(5)
    assert bench.look() == ids[:2]
    assert bench.look() == []
    bench.end_all()
    assert bench.look() == ids[2:4]


def test_a_hinted_job_is_claimed_by_its_id_without_a_search(bench: Bench) -> None:
    bench.at_rest()
    (job_id,) = bench.store.claims.add()
    bench.claimer.hint([job_id], ["default"], forced=False, later=False)
    assert bench.claimer._wake.is_set()
    assert bench.look() == [job_id]
    assert bench.store.faults.calls == ["claims.claim_one"]


def test_one_for_which_there_is_no_room_is_searched_for_when_there_is(bench: Bench) -> None:
    bench.at_rest()
    bench.in_flight.add([attempt(), attempt()])
    (job_id,) = bench.store.claims.add()
    bench.claimer.hint([job_id], ["default"], forced=False, later=False)
    assert bench.look() == []
    bench.claimer._wake.clear()
    bench.claimer.slots_free()
    assert not bench.claimer._wake.is_set()
    bench.end_all()
    bench.claimer.slots_free()
    assert bench.claimer._wake.is_set()
    assert bench.look() == [job_id]


def test_hints_about_queues_that_are_not_served_are_ignored() -> None:
    bench = Bench(queues=("mail",))
    bench.at_rest()
    bench.claimer.hint([ObjectId()], ["copy"], forced=True, later=False)
    assert not bench.claimer._wake.is_set()
    bench.claimer.stop()


def test_nothing_is_claimed_without_a_lease(bench: Bench) -> None:
    (job_id,) = bench.store.claims.add()
    bench.lease.renewed(bench.clock.seconds)
    bench.clock.seconds += 27.0
    assert bench.look() == []
    assert bench.store.faults.calls == []
    bench.lease.renewed(bench.clock.seconds)
    assert bench.look() == [job_id]


def test_a_node_claims_no_more_than_its_budget() -> None:
    bench = Bench(max_jobs=3)
    forced = bench.store.claims.add(2, options={"force_spawn": True})
    others = bench.store.claims.add(3)
    assert bench.look() == [*forced, others[0]]
    assert bench.capacity.budget.is_exhausted
    bench.end_all()
    assert bench.look() == []
    bench.capacity.budget.refund(1)
    assert bench.look() == [others[1]]
    bench.claimer.stop()


def test_forced_jobs_are_claimed_although_no_slot_is_free(bench: Bench) -> None:
    bench.in_flight.add([attempt(), attempt()])
    forced = bench.store.claims.add(2, options={"force_spawn": True})
    bench.store.claims.add(1)
    assert bench.look() == forced
    bench.store.faults.calls.clear()
    bench.look()
    assert "claims.forced" not in bench.store.faults.calls, "not before somebody says that there are some"


def test_async_jobs_behind_others_are_claimed_as_long_as_there_is_room_for_them(bench: Bench) -> None:
    bench.in_flight.add([attempt()])
    others = bench.store.claims.add(3)
    beside = bench.store.claims.add(12, **{"async": True})
    assert bench.look() == beside[:10]
    assert set(others) <= set(bench.store.claims.waiting), "the other slot is theirs"
    bench.claimer._wake.clear()
    bench.claimer.slots_free()
    assert not bench.claimer._wake.is_set()
    for job_id in beside[:4]:
        bench.in_flight.pop(job_id.binary, 1)
    bench.claimer.slots_free()
    assert bench.claimer._wake.is_set()
    assert set(beside[10:]) <= set(bench.look())


def test_where_one_job_turned_out_to_be_async_more_are_searched_for_although_no_slot_is_free(bench: Bench) -> None:
    bench.at_rest()
    bench.in_flight.add([attempt()])
    beside = bench.store.claims.add(12, **{"async": True})
    bench.claimer.hint(beside, ["default"], forced=False, later=False)
    assert bench.look() == beside[:10]


def test_others_are_read_when_a_claim_got_less_than_it_asked_for(bench: Bench) -> None:
    """Other nodes seem to claim from the same queue."""
    ids = bench.store.claims.add(4)
    bench.look()
    read = bench.store.faults.calls.count("nodes.all")
    bench.end_all()
    bench.store.claims.claim = lambda *asked: _nothing(bench, *asked)  # type: ignore[method-assign]
    bench.look()
    assert bench.store.faults.calls.count("nodes.all") == read
    bench.clock.seconds += 0.2
    bench.claimer.look_everywhere()
    bench.look()
    assert bench.store.faults.calls.count("nodes.all") == read + 1
    assert set(bench.store.claims.waiting) == set(ids[2:])


def _nothing(bench: Bench, ids: list[ObjectId], claim: str, *_: Any) -> int:
    bench.store.claims.got[claim] = []
    bench.search.more = False
    return 0


def test_abandoned_claims_are_released_before_anything_is_claimed(bench: Bench) -> None:
    bench.store.claims.add(1)
    bench.store.faults.fail("claims.claimed", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        bench.look()
    bench.look()
    assert len(bench.store.claims.released) == 1


def test_after_an_error_it_looks_everywhere_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.store.faults.fail("claims.candidates", AutoReconnect("cut"))
    bench.store.claims.add(1)
    bench.claimer.start()
    bench.claimer.look_everywhere()
    eventually(lambda: "claiming failed" in caplog.text)
    assert not bench.threads.crashed.is_set()

    def claimed() -> bool:
        bench.claimer.slots_free()  # as the main loop does again and again
        return bool(bench.dispatched)

    eventually(claimed)


def test_once_it_has_stopped_it_claims_nothing(bench: Bench) -> None:
    bench.claimer.start()
    bench.claimer.stop()
    bench.store.claims.add(1)
    bench.claimer.look_everywhere()
    assert bench.dispatched == []
    assert bench.claimer._thread is not None
    assert not bench.claimer._thread.is_alive()
