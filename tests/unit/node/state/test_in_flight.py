"""The table of attempts in flight, and the run that the manager gets for each."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from tests.unit.node.fakes import attempt

from taskscheduler.store.fence import Fence
from taskscheduler_daemon.ipc.messages import BATCH_RUN, Flag, Run
from taskscheduler_daemon.node.completion.hooks import HOOK_TIMEOUT, NOTIFICATION, hook_run
from taskscheduler_daemon.node.state.in_flight import Attempt, Batch, Counts, InFlight


def test_an_attempt_can_be_taken_once() -> None:
    in_flight, one = InFlight(), attempt(3)
    in_flight.add([one])
    assert len(in_flight) == 1
    assert in_flight.get(one.fence.job_id.binary) is one
    assert in_flight.pop(one.fence.job_id.binary, 3) is one
    assert in_flight.pop(one.fence.job_id.binary, 3) is None
    assert len(in_flight) == 0


@pytest.mark.parametrize("number", [2, 4])
def test_another_attempt_of_the_same_job_is_not_ours(number: int) -> None:
    in_flight, one = InFlight(), attempt(3)
    in_flight.add([one])
    assert in_flight.pop(one.fence.job_id.binary, number) is None
    assert in_flight.all() == [one]


def test_a_later_attempt_takes_the_place_of_an_earlier_one() -> None:
    in_flight, old = InFlight(), attempt(1)
    new = Attempt(Fence(old.fence.job_id, "other", 2), old.job, old.raw, 1.0)
    in_flight.add([old])
    in_flight.add([new])
    assert in_flight.pop(old.fence.job_id.binary, 1) is None
    assert in_flight.pop(old.fence.job_id.binary, 2) is new


def test_clearing_gives_everything_away() -> None:
    in_flight, both = InFlight(), [attempt(), attempt()]
    in_flight.add(both)
    assert in_flight.clear() == both
    assert in_flight.all() == []


def test_a_run_carries_the_job_as_it_is_stored() -> None:
    one = attempt(4, {"timeout": 2.5})
    run = one.run()
    assert (run.job_id, run.attempt, run.timeout, run.flags) == (one.fence.job_id.binary, 4, 2.5, Flag.NONE)
    assert bson.decode(run.body)["data"] == {"a": 1}


def test_only_a_priority_other_than_0_is_sent() -> None:
    assert attempt(priority=0).run().flags == Flag.NONE
    urgent = attempt(priority=-3).run()
    assert (urgent.flags, urgent.priority) == (Flag.PRIORITY, -3)


@pytest.mark.parametrize("odd", ["high", 2.5, None, [1]], ids=repr)
def test_a_stored_priority_that_is_none_counts_as_0(odd: object) -> None:
    """Anybody may have changed the document; a message that cannot be packed would keep all others from being sent."""
    one = attempt(priority=odd)
    assert Run.decode(one.run().encode()).priority == 0
    assert Batch([one]).run([one]).priority == 0


def test_a_batch_has_the_highest_priority_of_its_jobs() -> None:
    batches = [[attempt(priority=priority) for priority in both] for both in ((0, 2), (0, 0))]
    runs = [Batch(attempts).run(attempts) for attempts in batches]
    assert [(run.priority, bool(run.flags & Flag.PRIORITY)) for run in runs] == [(2, True), (0, False)]


def test_a_forced_job_is_marked_and_so_is_a_hook() -> None:
    assert attempt(options={"force_spawn": True}).run().flags == Flag.FORCED
    hook = hook_run(ObjectId(), RawBSONDocument(attempt(2, status=3).raw))
    assert (hook.flags, hook.timeout, hook.attempt) == (Flag.HOOK, HOOK_TIMEOUT, NOTIFICATION)


def test_the_end_of_a_hook_is_not_taken_for_that_of_the_job() -> None:
    """Others may have cancelled the job, so that its hook is called while it still runs here."""
    one, in_flight = attempt(1), InFlight()
    in_flight.add([one])
    hook = hook_run(one.fence.job_id, RawBSONDocument(one.raw))
    assert in_flight.pop(hook.job_id, hook.attempt) is None
    assert in_flight.pop(one.fence.job_id.binary, 1) is one


def test_attempts_are_counted_by_how_they_use_workers() -> None:
    in_flight = InFlight()
    plain, forced, beside = attempt(), attempt(options={"force_spawn": True}), attempt()
    beside.is_async = True
    in_flight.add([plain, forced, beside])
    assert in_flight.counts() == Counts(slotted=1, is_async=1)
    again = Attempt(Fence(beside.fence.job_id, "other", 2), beside.job, beside.raw, 1.0)
    in_flight.add([again])
    assert in_flight.counts() == Counts(slotted=2, is_async=0)
    in_flight.clear()
    assert in_flight.counts() == Counts(slotted=0, is_async=0)
    assert in_flight.async_count == 0


def gatherer(**fields: Any) -> Attempt:
    return attempt(batch={"size": 5, "wait": 0}, **fields)


def test_jobs_that_gather_take_no_slot_and_a_batch_takes_one() -> None:
    in_flight, jobs = InFlight(), [gatherer() for _ in range(3)]
    in_flight.add([*jobs, attempt()])
    assert in_flight.counts() == Counts(1, 0)
    batch = Batch(jobs)
    run = in_flight.begin_batch(batch, 5.0)
    assert run is not None
    assert (run.job_id, run.attempt, run.jobs) == (batch.id.binary, BATCH_RUN, 3)
    assert in_flight.counts() == Counts(2, 0)
    for one in jobs:
        in_flight.pop(one.fence.job_id.binary, 1)
    assert in_flight.counts() == Counts(2, 0)  # it runs on
    assert in_flight.abandoned_batches() == [batch]
    in_flight.end_batch(batch)
    in_flight.end_batch(batch)
    assert in_flight.counts() == Counts(1, 0)


def test_an_async_batch_counts_as_one_async_job() -> None:
    in_flight, jobs = InFlight(), [gatherer() for _ in range(3)]
    for one in jobs:
        one.is_async = True
    in_flight.add(jobs)
    batch = Batch(jobs)
    run = in_flight.begin_batch(batch, 5.0)
    assert run is not None
    assert run.flags & Flag.ASYNC
    assert in_flight.counts() == Counts(0, 1)
    in_flight.end_batch(batch)
    assert in_flight.counts() == Counts(0, 0)


def test_a_single_job_of_a_batch_runs_as_if_it_had_not_gathered() -> None:
    in_flight, (one, cancelled) = InFlight(), [gatherer(), gatherer()]
    in_flight.add([one, cancelled])
    in_flight.pop(cancelled.fence.job_id.binary, 1)
    run = in_flight.begin_batch(Batch([one, cancelled]), 5.0)
    assert run == one.run()
    assert in_flight.counts() == Counts(1, 0)
    in_flight.pop(one.fence.job_id.binary, 1)
    assert (in_flight.counts(), in_flight.gathered, in_flight.batches) == (Counts(0, 0), 0, {})


def test_nothing_runs_of_a_batch_that_was_cancelled_as_a_whole() -> None:
    in_flight = InFlight()
    assert in_flight.begin_batch(Batch([gatherer()]), 5.0) is None
    assert in_flight.counts() == Counts(0, 0)


def test_the_shortest_limits_of_its_jobs_are_those_of_a_batch() -> None:
    jobs = [gatherer(options={"timeout": 0}), gatherer(options={"timeout": 9, "silence_timeout": 4})]
    jobs += [gatherer(options={"timeout": 7}), gatherer()]
    jobs[3].start_by = 77.5
    run = Batch(jobs).run(jobs)
    assert (run.timeout, run.silence, run.start_by) == (7, 4, 77.5)
    assert [bson.decode(raw)["_id"] for raw in Run.decode(run.encode()).documents()] == [
        one.fence.job_id for one in jobs
    ]
