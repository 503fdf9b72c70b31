"""Which jobs a node claims although it has no room."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.support.eventually import eventually
from tests.support.tables import table
from tests.unit.node.claiming.test_claimer import Bench
from tests.unit.node.fakes import SERVER_NOW

from taskscheduler.model.control.urgency import UrgentJob
from taskscheduler.store.claimed_job import ClaimedJob

_PLACES = 25  #: for urgent jobs, if there are 200 for others


class Busy(Bench):
    """A node whose room is full of quick jobs of priority 0, while 300 others wait."""

    def __init__(self, max_jobs: int = 0, queues: tuple[str, ...] = ()) -> None:
        super().__init__(max_jobs=max_jobs, queues=queues)
        self.capacity.speed.learn(0.001)
        self.store.claims.add(500)
        assert len(self.look()) == 202
        assert not self.capacity.room()
        self.store.claims.asked.clear()

    def add(self, count: int = 1, priority: int = 1, **fields: Any) -> list[UrgentJob]:
        """Jobs that somebody adds, as their message names them."""
        ids = self.store.claims.add(count, priority=priority, **fields)
        return [UrgentJob(job_id, fields.get("queue", "default"), priority) for job_id in ids]

    def hear(self, *jobs: UrgentJob) -> list[ObjectId]:
        """What a message about these jobs has the node dispatch."""
        self.dispatched = []
        self.claimer.urgent.heard(jobs)
        return self.dispatched

    def end(self, *jobs: UrgentJob) -> None:
        for job in jobs:
            self.in_flight.pop(job.job_id.binary, 1)


def ids(jobs: list[UrgentJob]) -> list[ObjectId]:
    return [job.job_id for job in jobs]


@pytest.fixture
def busy() -> Iterator[Busy]:
    bench = Busy()
    yield bench
    bench.claimer.stop()
    assert not bench.threads.crashed.is_set()


def test_an_urgent_job_is_claimed_although_there_is_no_room_with_one_command(busy: Busy) -> None:
    (job,) = busy.add()
    busy.store.faults.calls.clear()
    assert busy.hear(job) == [job.job_id]
    assert busy.store.faults.calls == ["claims.claim_one"]


def test_several_are_claimed_at_once_in_claim_order(busy: Busy) -> None:
    low, high = *busy.add(priority=1), *busy.add(priority=3)
    busy.store.faults.calls.clear()
    assert busy.hear(low, high) == [high.job_id, low.job_id]
    assert busy.store.faults.calls == ["claims.claim", "claims.claimed"]


def test_a_job_waits_behind_those_of_its_priority_that_a_search_has_left(busy: Busy) -> None:
    busy.search.found([{"queue": "default", "priority": 2, "at": SERVER_NOW, "_id": ObjectId()}], 1)
    assert busy.hear(*busy.add(priority=2), *busy.add(priority=1)) == []
    (higher,) = busy.add(priority=3)
    assert busy.hear(higher) == [higher.job_id]


def test_no_more_urgent_jobs_are_in_flight_than_there_are_places_for(busy: Busy) -> None:
    jobs = busy.add(_PLACES + 3)
    assert busy.hear(*jobs) == ids(jobs)[:_PLACES]
    busy.end(*jobs[:2])
    later = busy.add()
    assert busy.hear(*later) == [], "three that came before wait for the next search"
    (higher,) = busy.add(priority=2)
    assert busy.hear(higher) == [higher.job_id]
    assert busy.hear(*busy.add(2, priority=3))[1:] == [], "one place is left"


def test_what_is_left_is_claimed_by_the_next_search(busy: Busy) -> None:
    jobs = busy.add(_PLACES + 3)
    busy.hear(*jobs)
    busy.end_all()
    waiting = busy.store.claims.waiting  # the store has those of higher priority first
    busy.store.claims.waiting = dict(sorted(waiting.items(), key=lambda item: -item[1]["priority"]))
    busy.claimer.look_everywhere()
    assert busy.look()[:3] == ids(jobs)[_PLACES:]
    (later,) = busy.add()
    assert busy.hear(later) == [later.job_id]


def test_an_urgent_job_does_not_wait_here_for_a_long_one(busy: Busy) -> None:
    for _ in range(200):
        busy.capacity.speed.learn(10.0)
    assert busy.hear(*busy.add()) == []


def test_a_node_near_the_end_of_its_budget_leaves_urgent_jobs_to_its_claimer() -> None:
    for budget, expected in ((4201, 0), (4202, 1)):
        busy = Busy(max_jobs=budget)
        assert len(busy.hear(*busy.add())) == expected
        busy.claimer.stop()


def test_nothing_is_claimed_without_a_lease_or_during_a_pause(busy: Busy) -> None:
    jobs = busy.add()
    busy.pause("pause:all")
    assert busy.hear(*jobs) == []
    busy.pause()
    busy.lease.renewed(busy.clock.seconds)
    busy.clock.seconds += 27.0
    assert busy.hear(*jobs) == []
    busy.lease.renewed(busy.clock.seconds)
    assert busy.hear(*jobs) == ids(jobs)


def test_jobs_of_a_paused_queue_or_class_are_not_claimed(busy: Busy) -> None:
    busy.pause("pause:queue:mail")
    assert busy.hear(*busy.add(queue="mail")) == []
    copies: dict[str, Any] = {"class": "copy"}
    busy.pause("pause:job:copy")
    assert busy.hear(*busy.add(1, 1, **copies)) == []


def test_a_node_claims_from_the_queues_that_it_serves() -> None:
    busy = Busy(queues=("default", "copy"))
    mail, copy = busy.add(queue="mail"), busy.add(queue="copy")
    assert busy.hear(*mail, *copy) == ids(copy)
    busy.claimer.stop()


def test_a_job_that_is_in_flight_is_not_asked_for_again(busy: Busy) -> None:
    (job,) = busy.add()
    busy.hear(job)
    busy.store.claims.asked.clear()
    assert busy.hear(job) == []
    assert busy.store.claims.asked == []


def coming(jobs: list[UrgentJob]) -> list[UrgentJob]:
    """As the message names them while they are being stored."""
    return [job._replace(coming=True) for job in jobs]


@pytest.mark.parametrize("count", [1, 3])
def test_jobs_that_were_got_while_they_were_being_stored_are_not_asked_for_once_they_are(
    busy: Busy, count: int
) -> None:
    jobs = busy.add(count)
    assert busy.hear(*coming(jobs)) == ids(jobs)
    busy.end(*jobs)
    busy.store.claims.asked.clear()
    assert busy.hear(*jobs) == []
    assert busy.store.claims.asked == []
    again = busy.store.claims.waiting
    for job in jobs:
        again[job.job_id] = {**again[busy.add()[0].job_id], "_id": job.job_id}
    assert busy.hear(*jobs) == ids(jobs), "it waits once more, after a retry"


@pytest.mark.parametrize("count", [1, 3])
def test_a_job_that_was_not_there_yet_is_asked_for_once_it_is_stored(busy: Busy, count: int) -> None:
    (late,) = busy.add()
    document = busy.store.claims.waiting.pop(late.job_id)
    others = busy.add(count - 1)
    assert busy.hear(*coming([late, *others])) == ids(others)
    busy.store.claims.waiting[late.job_id] = document
    assert busy.hear(late, *others) == [late.job_id]


def test_of_several_nodes_that_hear_of_a_job_one_asks_for_it() -> None:
    nodes = [Busy() for _ in range(3)]
    known = [{"_id": node.partition._boot, "silent": 0.0} for node in nodes]
    for node in nodes:
        node.partition.know(known, node.clock.seconds)
    jobs = nodes[0].add(30)
    for node in nodes:
        node.store.claims.waiting |= {job.job_id: nodes[0].store.claims.waiting[job.job_id] for job in jobs[:9]}
        node.store.claims.asked.clear()
    for node in nodes:
        node.hear(*jobs[:9])
    asked = [job_id for node in nodes for some in node.store.claims.asked for job_id in some]
    assert sorted(asked) == sorted(ids(jobs[:9]))
    for node in nodes:
        node.claimer.stop()


def test_a_claim_without_an_answer_is_released_before_the_next_one(busy: Busy) -> None:
    jobs, store = busy.add(2), busy.store
    store.faults.fail("claims.claim_one", AutoReconnect("gone"))
    assert busy.hear(jobs[0]) == []
    (claim,) = busy.claimer._pipeline.unconfirmed()
    assert busy.claimer._wake.is_set(), "it sees to the release"
    assert busy.hear(jobs[1]) == []
    busy.look()
    assert store.claims.released == [claim]
    assert not busy.claimer._pipeline.unconfirmed()
    assert busy.hear(jobs[1]) == [jobs[1].job_id]


def test_a_claim_under_way_has_ended_after_the_stop(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    claims, asked, answer = busy.store.claims, threading.Event(), threading.Event()
    claim_one = claims.claim_one

    def late(*arguments: Any) -> list[ClaimedJob]:
        asked.set()
        assert answer.wait(30)
        return claim_one(*arguments)

    monkeypatch.setattr(claims, "claim_one", late)
    (job,) = busy.add()
    hearing, stopping = threading.Thread(target=busy.hear, args=(job,)), threading.Thread(target=busy.claimer.stop)
    hearing.start()
    assert asked.wait(30)
    stopping.start()
    eventually(lambda: busy.claimer._stopped.is_set())
    assert stopping.is_alive()
    answer.set()
    stopping.join(30)
    assert busy.dispatched == [job.job_id]
    hearing.join(30)
    assert busy.hear(*busy.add()) == [], "it claims nothing after the stop"


@table("priority", [0, -1])
def test_a_message_about_jobs_that_are_not_urgent_has_nothing_claimed(priority: int) -> None:
    busy = Busy()
    assert busy.hear(*busy.add(priority=priority)) == []
    busy.claimer.stop()
