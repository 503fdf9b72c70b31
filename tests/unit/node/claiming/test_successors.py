"""Which jobs a node keeps for itself when those before them have ended on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from bson import ObjectId
from tests.support.tables import table
from tests.unit.node.fakes import FakeStore, attempt

from taskscheduler.model.flows.membership import join_key
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.claiming.successors import Successors, joins_of, lists_of, may_take
from taskscheduler_daemon.node.state.in_flight import InFlight

JOIN, OTHER, THIRD = ObjectId(), ObjectId(), ObjectId()


def parked(priority: int = 0, join: ObjectId = JOIN, **fields: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "class": "mail",
        "queue": "default",
        "priority": priority,
        "parked_at": datetime(2026, 1, 1, tzinfo=UTC),
        "blocked": join_key(join),
        "options": {},
        **fields,
    }


class Bench:
    """What a node knows that has looked everywhere and found nothing."""

    def __init__(self) -> None:
        self.store, self.in_flight, self.search = FakeStore(), InFlight(), Search(())
        self.search.more = False
        self.successors = Successors(self.store.store, self.search, self.in_flight)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_is_taken_is_claimed_in_the_order_of_claims(bench: Bench) -> None:
    low, urgent, next_one = parked(), parked(5), parked()
    assert bench.successors.take([next_one, urgent, low]) == []
    assert bench.search.wake.is_set()
    assert bench.successors.pop() == [urgent, low, next_one]
    assert bench.successors.pop() == []


def test_nothing_is_taken_while_other_jobs_wait_or_after_the_end(bench: Bench) -> None:
    job = parked()
    bench.search.has_backlog = True
    assert bench.successors.take([job]) == [job]
    bench.search.has_backlog = False
    assert bench.successors.take([job]) == []
    assert bench.successors.close() == [job]
    assert bench.successors.take([job]) == [job]


@table(
    "job",
    [
        parked(options={"force_spawn": True}),
        parked(priority=cast(Any, "high")),
        parked(queue=7),
        parked(parked_at="soon"),
    ],
)
def test_what_needs_no_slot_or_makes_no_sense_is_left_to_a_search(job: dict[str, Any]) -> None:
    assert not may_take(job)


def test_an_async_job_is_taken() -> None:
    assert may_take({**parked(), "async": True})


def test_a_join_of_which_a_job_is_in_flight_is_not_complete(bench: Bench) -> None:
    flow = ObjectId()
    members = attempt(flow=flow, joins=[JOIN, OTHER]), attempt(flow=flow, joins="odd"), attempt(joins=[THIRD])
    bench.in_flight.add([*members, attempt()])
    assert bench.successors.still_runs([JOIN, THIRD]) == {JOIN}
    assert bench.successors.still_runs([]) == set()


def test_the_joins_of_jobs_are_known_by_their_lists() -> None:
    jobs = [parked(), parked(join=OTHER), parked(blocked=["odd"]), parked(), parked(blocked="solo:key")]
    assert joins_of(jobs) == [JOIN, OTHER]
    assert lists_of(jobs) == [jobs[0]["blocked"], jobs[1]["blocked"], "solo:key"]
