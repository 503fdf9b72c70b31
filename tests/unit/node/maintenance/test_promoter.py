"""Postponed jobs are promoted when they are due, and nobody asks for them all the time."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect, WriteError
from tests.unit.node.fakes import FakeClock, FakeStore, lease
from tests.unit.node.maintenance.test_rescuer import Searches

from taskscheduler.clock import NEVER
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.maintenance.promoter import Promoter


class Bench:
    """A promoter, and what it works with."""

    def __init__(self) -> None:
        self.store, self.clock, self.claimer = FakeStore(), FakeClock(), Searches()
        self.search, self.wake = Search([]), threading.Event()
        self.promoter = Promoter(
            store=self.store.store,
            claimer=cast(Any, self.claimer),
            search=self.search,
            wake=self.wake,
            clock=self.clock,
            lease=lease(self.clock),
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_due_jobs_are_promoted_and_searched_for(bench: Bench) -> None:
    due = [ObjectId(), ObjectId()]
    bench.store.postponed_jobs.left, bench.store.postponed_jobs.due = -0.5, due
    bench.promoter.run()
    assert bench.store.postponed_jobs.promoted == due
    assert bench.store.admission.admitted == ["solo:key"], "controlled jobs wait in their lists instead"
    assert bench.claimer.count == 1
    assert bench.promoter.next_at == bench.clock.seconds, "more may be due: each run takes some"


def test_the_next_job_is_promoted_when_it_is_due(bench: Bench) -> None:
    bench.store.postponed_jobs.left = 7.5
    bench.promoter.run()
    assert bench.promoter.next_at == pytest.approx(bench.clock.seconds + 7.5, abs=0.01)
    assert bench.promoter.next_at > bench.clock.seconds + 7.5, "a little early, nothing would be due"
    assert (bench.store.postponed_jobs.promoted, bench.claimer.count) == ([], 0)
    bench.store.postponed_jobs.left = None
    bench.promoter.run()
    assert bench.promoter.next_at == NEVER


def test_a_job_that_was_just_postponed_is_looked_at_soon(bench: Bench) -> None:
    bench.store.postponed_jobs.left = 3600.0
    bench.promoter.run()
    bench.promoter.look_soon()
    assert bench.wake.is_set()
    assert bench.promoter.next_at < bench.clock.seconds
    bench.store.postponed_jobs.left = 2.0
    bench.promoter.run()
    assert bench.promoter.next_at == pytest.approx(bench.clock.seconds + 2.0, abs=0.01)


def test_one_that_is_postponed_during_a_look_is_not_forgotten(bench: Bench) -> None:
    answer = bench.store.postponed_jobs.seconds_until_next

    def slow() -> float | None:
        left = answer()
        bench.promoter.look_soon()
        return left

    bench.store.postponed_jobs.seconds_until_next = slow  # type: ignore[method-assign]
    bench.promoter.run()
    assert bench.promoter.next_at < bench.clock.seconds


def test_after_a_fault_it_waits_for_its_interval(bench: Bench) -> None:
    bench.store.postponed_jobs.left = -1.0
    bench.promoter.run()
    for call in ("postponed_jobs.seconds_until_next", "postponed_jobs.promote"):
        bench.store.faults.fail(call, AutoReconnect("cut"))
        with pytest.raises(AutoReconnect):
            bench.promoter.run()
        assert bench.promoter.next_at == NEVER


def test_a_busy_node_which_follows_no_messages_looks_more_often(bench: Bench) -> None:
    assert bench.promoter.interval == 2.0
    bench.search.idle.clear()
    assert bench.promoter.interval == 0.4


def test_one_that_the_database_refuses_to_promote_fails_and_holds_up_no_other(bench: Bench) -> None:
    due = [ObjectId() for _ in range(7)]
    refused, promoted = due[4], list[ObjectId]()

    def promote(ids: list[ObjectId]) -> int:
        if refused in ids:
            raise WriteError("cannot index parallel arrays", 171)
        promoted.extend(ids)
        return len(ids)

    bench.store.postponed_jobs.left, bench.store.postponed_jobs.due = -0.5, due
    bench.store.postponed_jobs.promote = promote  # type: ignore[assignment,method-assign]
    bench.promoter.run()
    assert promoted == [job_id for job_id in due if job_id != refused]
    error, held = bench.store.invalid_jobs.failed[refused]
    assert "parallel arrays" in error["message"]
    assert held == {"status": 1}


def test_jobs_that_stay_due_are_not_looked_at_without_a_pause(bench: Bench) -> None:
    bench.store.postponed_jobs.left = 0.0
    bench.promoter.run()
    assert bench.clock.seconds < bench.promoter.next_at < bench.clock.seconds + 1
