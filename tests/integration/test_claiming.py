"""What a node asks for: nothing after its lease, and nothing twice while two claims are under way."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from tests.support import claiming
from tests.support.claiming import Bench, SettableClock
from tests.support.jobs import Noop

from taskscheduler import Scheduler, Status
from taskscheduler.store.claimed_job import ClaimedJob
from taskscheduler.store.claims import ALL_JOBS
from taskscheduler_daemon.node.claiming import partition


@pytest.fixture
def bench(scheduler: Scheduler) -> Iterator[Bench]:
    bench = Bench(scheduler, slots=2)
    yield bench
    bench.claimer.stop()


def test_nothing_is_claimed_after_the_lease(scheduler: Scheduler, bench: Bench) -> None:
    process = scheduler.add_job(Noop)
    bench.lease.renewed(100.0)
    bench.clock.seconds = 127.0
    bench.look()
    assert process.refresh().status is Status.WAITING
    bench.lease.renewed(200.0)
    bench.claimer._look()
    assert process.refresh().status is Status.PROCESSING


def test_a_service_that_is_cancelled_before_its_claim_is_read_back_will_never_begin(
    scheduler: Scheduler, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or whoever stops it would wait for the word of a node that does not know of it: as long as `claim` is there."""
    scheduler.start_service(Noop, name="s")
    read_back = scheduler.store.claims.claimed

    def late(*claim: Any) -> list[ClaimedJob]:
        scheduler.stop_service("s", wait=False)
        return read_back(*claim)

    monkeypatch.setattr(scheduler.store.claims, "claimed", late)
    bench.claimer.hint([], ["default"], True, False)
    bench.claimer._look()
    stopped = scheduler.service("s")
    assert (bench.dispatched, stopped.status, stopped.attempt) == ([], Status.CANCELED, 1)
    assert "claim" not in stopped.to_dict()


def test_two_claims_under_way_ask_for_different_jobs(
    scheduler: Scheduler, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if all jobs are due at the same moment, and they are dispatched in the order of claiming."""
    at = datetime(2020, 1, 1, tzinfo=UTC)
    added = scheduler.add_jobs([(Noop, None, {"at": at})] * 2500)
    bench.capacity.speed.rate(0.0)
    for _ in range(100_000):
        bench.capacity.speed.learn(1e-5)
    bench.capacity.speed.rate(1.0)
    asked: list[Sequence[ObjectId]] = []
    claim = scheduler.store.claims.claim

    def noted(ids: Sequence[ObjectId], *more: Any) -> int:
        asked.append(ids)
        return claim(ids, *more)

    monkeypatch.setattr(scheduler.store.claims, "claim", noted)
    bench.look()
    assert len(asked) > 1
    assert sum(map(len, asked)) == len({job_id for ids in asked for job_id in ids})
    dispatched = [one.fence.job_id for one in bench.dispatched]
    assert dispatched == sorted(process.id for process in added)[: len(dispatched)]


def test_urgent_jobs_are_claimed_before_a_backlog_and_asked_for_once(
    scheduler: Scheduler, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search goes on behind the last place: from the head it would pass over all that was claimed there."""
    at = datetime(2020, 1, 1, tzinfo=UTC)
    ids = sorted(process.id for process in scheduler.add_jobs([(Noop, None, {"at": at})] * 15))
    claim, may_go_on = scheduler.store.claims.claim, threading.Event()

    def claim_later(*arguments: Any) -> int:
        assert may_go_on.wait(30)
        return claim(*arguments)

    monkeypatch.setattr(scheduler.store.claims, "claim", claim_later)
    found = [bench.claimer._find(4)]
    bench.pipeline.begin(found[0], more=True)
    urgent = scheduler.add_job(Noop, priority=1).id
    for _ in range(2):
        found.append(bench.claimer._find(4))
        if len(found) == 2:
            bench.pipeline.begin(found[1], more=True)
    may_go_on.set()
    bench.pipeline.end()
    assert found == [ids[:4], [urgent, *ids[4:7]], ids[7:10]], "of the third four one is the urgent one once more"
    assert bench.search.more
    assert [one.job["priority"] for one in bench.dispatched] == [0, 0, 0, 0, 1, 0, 0, 0]
    assert [one.run().priority for one in bench.dispatched] == [0, 0, 0, 0, 1, 0, 0, 0]


def test_nodes_of_the_same_remainder_work_off_a_deep_backlog_in_different_places(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "_WIDEST", 2)
    monkeypatch.setattr(claiming, "SettableClock", TickingClock)
    scheduler.add_jobs([Noop] * 240)
    waiting = [job["_id"] for job in scheduler.store.claims.candidates(ALL_JOBS, 240)]
    nodes = [Bench(scheduler, slots=10) for _ in range(4)]
    for node in nodes:
        node.partition.know([{"_id": one.node.boot, "silent": 0.0} for one in nodes], 0.0)
        node.lease.renewed(0.0)
    claim_in_turn(nodes)
    firsts = sorted(waiting.index(node.dispatched[0].fence.job_id) for node in nodes)
    assert firsts[1] < 20 <= firsts[2], "the second group begins behind the first"
    while sum(len(node.dispatched) for node in nodes) < len(waiting):
        claim_in_turn(nodes)
    assert sorted(one.fence.job_id for node in nodes for one in node.dispatched) == sorted(waiting)


class TickingClock(SettableClock):
    """A clock on which every look takes some milliseconds."""

    def monotonic(self) -> float:
        self.seconds += 0.002
        return self.seconds


def claim_in_turn(nodes: list[Bench]) -> None:
    for node in nodes:
        node.claimer._look()
        node.in_flight.clear()
        node.lease.renewed(node.clock.seconds)
        if not node.search.more:
            node.claimer.look_everywhere()
