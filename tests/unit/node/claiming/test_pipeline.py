"""No claimed job is lost, whatever the database answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import bson
import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.unit.node.fakes import SERVER_NOW, FakeClock, FakeStore, job_document, lease

from taskscheduler.model.lifecycle import Status, Transition
from taskscheduler.model.payload import CODEC
from taskscheduler.store.claimed_job import decode_batch
from taskscheduler.store.claims import ALL_JOBS
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.node.claiming.pipeline import Claimed, ClaimPipeline
from taskscheduler_daemon.node.claiming.rate_check import RateCheck
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.controls import ControlView
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight


class Bench:
    """A pipeline, the jobs that it may claim, and those that it has dispatched."""

    def __init__(self) -> None:
        self.store, self.clock, self.in_flight = FakeStore(), FakeClock(), InFlight()
        self.capacity = Capacity(self.in_flight, lease(self.clock), 10)
        self.dispatched: list[ObjectId] = []
        self.seen: list[Any] = []  #: what the others could see when attempts were dispatched
        self.pipeline = ClaimPipeline(
            store=self.store.store,
            node=NodeIdentity(ObjectId(), "node"),
            capacity=self.capacity,
            dispatcher=cast(Any, SimpleNamespace(dispatch=self._dispatch)),
            rates=RateCheck(self.store.store, ControlView(self.store.store), cast(Any, None)),
            clock=self.clock,
        )

    def _dispatch(self, attempts: list[Attempt]) -> None:
        self.dispatched += [one.fence.job_id for one in attempts]
        in_flight = all(self.in_flight.get(one.fence.job_id.binary) is one for one in attempts)
        self.seen.append((in_flight, self.pipeline.unconfirmed(), self.capacity.budget.left))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.pipeline.stop()


def test_what_a_claim_got_is_dispatched_in_the_order_of_the_search(bench: Bench) -> None:
    ids = bench.store.claims.add(3)
    taken_by_others = ObjectId()
    bench.pipeline.claim([*ids, taken_by_others])
    assert bench.dispatched == ids
    assert bench.pipeline.collect() == Claimed(asked=4, got=3)
    assert bench.pipeline.collect() == Claimed(asked=0, got=0)
    started = [(entry["job"], entry["status"]) for entry in bench.store.events.entries]
    assert started == [(job_id, Status.PROCESSING) for job_id in ids]


def test_attempts_are_in_flight_and_count_before_they_are_dispatched(bench: Bench) -> None:
    """So that their end is known, and a node that has used up its budget with them stops."""
    bench.pipeline.claim(bench.store.claims.add(2))
    assert bench.seen == [(True, [], 8)]


def test_nothing_is_asked_of_the_database_for_nothing(bench: Bench) -> None:
    bench.pipeline.claim([])
    bench.pipeline.begin([], more=True)
    bench.pipeline.end()
    assert (bench.store.faults.calls, bench.seen) == ([], [])


def test_a_single_job_takes_one_operation(bench: Bench) -> None:
    (job_id,) = bench.store.claims.add()
    bench.pipeline.claim_one(job_id, ALL_JOBS)
    assert bench.store.faults.calls == ["claims.claim_one"]
    assert (bench.dispatched, bench.pipeline.collect()) == ([job_id], Claimed(1, 1))
    bench.pipeline.claim_one(job_id, ALL_JOBS)
    assert (bench.dispatched, bench.pipeline.collect()) == ([job_id], Claimed(1, 0))


def test_a_claim_whose_answer_is_lost_is_read_back(bench: Bench) -> None:
    ids = bench.store.claims.add(2)
    bench.store.faults.fail("claims.claim", AutoReconnect("cut"))
    bench.pipeline.claim(ids)
    assert bench.dispatched == ids
    assert bench.pipeline.unconfirmed() == []


@pytest.mark.parametrize("single", [False, True])
def test_a_claim_that_cannot_be_read_back_is_released(bench: Bench, single: bool) -> None:
    (job_id,) = bench.store.claims.add()
    bench.store.faults.fail("claims.claim_one" if single else "claims.claimed", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        bench.pipeline.claim_one(job_id, ALL_JOBS) if single else bench.pipeline.claim([job_id])
    (claim,) = bench.pipeline.unconfirmed()
    bench.store.faults.fail("claims.release_claim", AutoReconnect("cut"))
    with pytest.raises(AutoReconnect):
        bench.pipeline.release_abandoned()
    assert bench.pipeline.unconfirmed() == [claim], "tried again"
    bench.pipeline.release_abandoned()
    assert bench.store.claims.released == [claim]
    assert bench.store.admission.unstarted == [claim, claim], "services and solo jobs that were cancelled meanwhile"
    assert (bench.pipeline.unconfirmed(), bench.dispatched) == ([], [])


def test_an_exclusive_job_that_was_cancelled_before_the_read_back_keeps_no_lock(bench: Bench) -> None:
    ids = bench.store.claims.add(2)
    read_back = bench.store.claims.claimed
    bench.store.claims.claimed = lambda *claim: read_back(*claim)[1:]  # type: ignore[method-assign]
    bench.pipeline.claim(ids)
    assert len(bench.dispatched) == 1
    assert len(bench.store.admission.unstarted) == 2


def test_claims_under_way_count_as_asked_until_they_end(bench: Bench) -> None:
    ids, answers = bench.store.claims.add(3), threading.Event()
    claim = bench.store.claims.claim

    def slow(*asked: Any) -> int:
        assert answers.wait(30)
        return claim(*asked)

    bench.store.claims.claim = slow  # type: ignore[assignment, method-assign]
    bench.pipeline.begin(ids[:2], more=True)
    assert bench.pipeline.asked == bench.in_flight.coming.count == 2
    answers.set()
    bench.pipeline.begin(ids[2:], more=False)
    bench.pipeline.end()
    assert (bench.pipeline.asked, bench.in_flight.coming.count, bench.dispatched) == (0, 0, ids)


def test_a_claim_that_fails_does_not_take_another_with_it(bench: Bench) -> None:
    first, second = bench.store.claims.add(2)
    read_back, broken = bench.store.claims.claimed, set[str]()

    def cut(claim: str, boot: ObjectId) -> Any:
        if bench.store.claims.got[claim][0]["_id"] == first:
            broken.add(claim)
            raise AutoReconnect("cut")
        return read_back(claim, boot)

    bench.store.claims.claimed = cut  # type: ignore[method-assign]
    bench.pipeline.begin([first], more=True)
    bench.pipeline.begin([second], more=True)
    with pytest.raises(AutoReconnect):
        bench.pipeline.end()
    assert (bench.dispatched, bench.pipeline.asked, bench.in_flight.coming.count) == ([second], 0, 0)
    assert bench.pipeline.collect() == Claimed(1, 1)
    assert set(bench.pipeline.unconfirmed()) == broken


def test_a_job_that_was_claimed_too_late_is_released_and_ended_and_no_other(bench: Bench) -> None:
    (late,) = bench.store.claims.add(expires=SERVER_NOW)
    (limited,) = bench.store.claims.add(expires=SERVER_NOW + timedelta(seconds=5))
    (plain,) = bench.store.claims.add()
    bench.store.jobs.stored = {late: job_document(_id=late, attempt=0, expires=SERVER_NOW)}
    bench.pipeline.claim([late, limited, plain])
    assert bench.dispatched == [limited, plain]
    assert [fence.job_id for fence in bench.store.claims.released_fences] == [late]
    assert bench.store.late_jobs.ended == [(late, Transition.CANCEL_LATE)]
    assert bench.in_flight.get(late.binary) is None
    started_by = [bench.in_flight.get(one.binary) for one in (limited, plain)]
    assert [one.start_by for one in started_by if one is not None] == [bench.clock.monotonic() + 5, 0.0]
    statuses = [(entry["job"], entry["status"]) for entry in bench.store.events.entries]
    assert (late, Status.PROCESSING) not in statuses


def test_jobs_that_are_alike_are_attempted_like_any_other(bench: Bench) -> None:
    options = job_document()["options"]
    fields = {"class": "mail", "queue": "mail", "priority": 0, "at": SERVER_NOW, "attempt": 1, "retries": 0, "lost": 0}
    jobs: list[dict[str, Any]] = [
        {"_id": ObjectId(), **fields, "data": {"n": number}, "options": options, "hook": number == 10}
        for number in range(11)
    ]
    raws = [bson.encode(job, codec_options=CODEC) for job in jobs]
    claim = "c"
    bench.pipeline._abandoned.append(claim)
    bench.pipeline._take(11, claim, decode_batch(b"".join(raws)))
    found = {one.fence: one for one in bench.in_flight.all()}
    assert list(found) == [Fence(job["_id"], claim, 1) for job in jobs]
    assert len({id(one.traits) for one in found.values()}) == 2
    assert [one.job for one in found.values()] == jobs
    assert [one.run() for one in found.values()] == [
        Attempt(fence, job, raw, 0.0).run() for fence, job, raw in zip(found, jobs, raws, strict=True)
    ]
    assert [one.is_plain for one in found.values()] == [True] * 10 + [False]


def test_the_claims_of_a_pipeline_beside_it_are_unconfirmed_as_well_and_left_to_that(bench: Bench) -> None:
    beside = bench.pipeline.beside()
    (job_id,) = bench.store.claims.add()
    bench.store.faults.fail("claims.claim_one", AutoReconnect("gone"))
    with pytest.raises(AutoReconnect):
        beside.claim_one(job_id, ALL_JOBS)
    bench.pipeline.release_abandoned()
    (claim,) = bench.pipeline.unconfirmed()
    assert bench.store.claims.released == [], "it may be under way there"
    beside.release_abandoned()
    assert (bench.store.claims.released, bench.pipeline.unconfirmed()) == ([claim], [])
    beside.stop()


def test_what_it_claims_beside_is_logged_as_begun(bench: Bench) -> None:
    beside = bench.pipeline.beside()
    (job_id,) = bench.store.claims.add()
    beside.claim_one(job_id, ALL_JOBS)
    beside.stop()
    assert [entry["job"] for entry in bench.store.events.entries] == [job_id]
