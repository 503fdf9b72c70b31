"""The option dedupe: no second job of the same class and data while one waits for its start, whoever adds when."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from tests.support.eventually import eventually
from tests.support.jobs import Noop

from taskscheduler import DuplicateJobError, InvalidOptionError, Process, Scheduler, Status, call
from taskscheduler.model.lifecycle import Transition, Verdict
from taskscheduler.operations.rescue import rescue
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.claims import ALL_JOBS, Scope
from taskscheduler.store.fence import Fence

QUEUED = {"status": {"$lt": int(Status.PROCESSING)}}
BOOT = ObjectId()


def add(scheduler: Scheduler, data: Any = None, **options: Any) -> Process:
    return scheduler.add_job(Noop, data, dedupe=True, **options)


def claim(scheduler: Scheduler, process: Process) -> Fence:
    """Take the job as a node does."""
    taken = scheduler.store.claims.claim_one(process.id, ALL_JOBS, "claim", BOOT, "node")
    return Fence(process.id, "claim", taken[0].job["attempt"])


def end(scheduler: Scheduler, fence: Fence, move: Transition, **more: Any) -> None:
    verdict = Verdict(move, plans_next="series" in more)
    assert scheduler.store.completions.write([Completion(fence, verdict, **more)]) == 1


def test_the_same_job_is_not_added_while_it_is_queued(scheduler: Scheduler) -> None:
    first = add(scheduler, {"a": 1, "b": [1]})
    again = add(scheduler, {"b": [1], "a": 1}, queue="other", retry=1)
    assert (first.outcome, again.outcome, again.id) == ("created", "existing", first.id)
    assert add(scheduler, {"a": 2}).outcome == "created"
    assert scheduler.add_job("other", {"a": 1, "b": [1]}, dedupe=True).outcome == "created"
    assert scheduler.add_job(Noop, {"a": 1, "b": [1]}).outcome == "created", "asked for by nobody"
    assert scheduler.store.jobs.collection.count_documents(QUEUED) == 4


def test_with_ignore_data_the_class_alone_counts(scheduler: Scheduler) -> None:
    first = add(scheduler, 1, ignore_data=True)
    assert add(scheduler, 2, ignore_data=True).id == first.id


def test_a_postponed_job_is_queued_also_when_its_time_comes(scheduler: Scheduler) -> None:
    first = add(scheduler, at=timedelta(seconds=0.3))
    assert (first.status, add(scheduler).id) == (Status.POSTPONED, first.id)
    eventually(lambda: scheduler.store.postponed_jobs.promote([first.id]))
    assert add(scheduler).id == first.id


@pytest.mark.parametrize("move", [None, Transition.SUCCEED, Transition.FAIL, Transition.EXPIRE, Transition.CANCEL])
def test_a_job_that_has_started_is_no_obstacle(scheduler: Scheduler, move: Transition | None) -> None:
    first = add(scheduler)
    fence = claim(scheduler, first)
    if move is Transition.CANCEL:
        first.cancel()
    elif move is not None:
        end(scheduler, fence, move)
    second = add(scheduler)
    assert second.outcome == "created"
    assert add(scheduler).id == second.id


def test_a_canceled_job_is_no_obstacle(scheduler: Scheduler) -> None:
    add(scheduler).cancel()
    assert add(scheduler).outcome == "created"


def released(scheduler: Scheduler, process: Process, fence: Fence) -> None:
    assert scheduler.store.claims.release(fence)


def abandoned(scheduler: Scheduler, process: Process, fence: Fence) -> None:
    assert scheduler.store.claims.release_claim(fence.claim, BOOT) == 1


def taken_back(scheduler: Scheduler, process: Process, fence: Fence) -> None:
    assert [one[:2] for one in rescue(scheduler.store, BOOT, "node", 3)] == [(process.id, Status.WAITING)]


def handed_back(scheduler: Scheduler, process: Process, fence: Fence) -> None:
    end(scheduler, fence, Transition.RELEASE)


def unstarted(scheduler: Scheduler, process: Process, fence: Fence) -> None:
    end(scheduler, fence, Transition.RELEASE, unstarted=True)


def retried_later(scheduler: Scheduler, process: Process, fence: Fence) -> None:
    end(scheduler, fence, Transition.RETRY, retry_interval=60, error={"type": "ValueError"})


def retried_now(scheduler: Scheduler, process: Process, fence: Fence) -> None:
    end(scheduler, fence, Transition.RETRY_NOW, error={"type": "ValueError"})


def requeued(scheduler: Scheduler, process: Process, fence: Fence) -> None:
    end(scheduler, fence, Transition.FAIL, error={"type": "ValueError"})
    scheduler.retry_job(process.id)


def requeued_before_its_start(scheduler: Scheduler, process: Process, fence: Fence) -> None:
    assert scheduler.store.claims.release(fence)
    process.cancel()
    scheduler.retry_job(process.id)


REARMS = [
    released,
    abandoned,
    taken_back,
    handed_back,
    unstarted,
    retried_later,
    retried_now,
    requeued,
    requeued_before_its_start,
]


@pytest.mark.parametrize("rearm", REARMS)
def test_a_job_that_is_queued_again_stands_in_the_way_of_none(
    scheduler: Scheduler, rearm: Callable[[Scheduler, Process, Fence], None]
) -> None:
    first = add(scheduler)
    fence = claim(scheduler, first)
    second = add(scheduler)
    rearm(scheduler, first, fence)
    assert first.refresh().status in (Status.WAITING, Status.POSTPONED)
    assert "dedupe" not in first.to_dict()
    assert add(scheduler).id == second.id


def test_the_next_run_of_an_interval_stands_in_the_way_of_none(scheduler: Scheduler) -> None:
    first = add(scheduler, interval=60)
    series = (first.id, 0)
    end(scheduler, claim(scheduler, first), Transition.SUCCEED, interval=60, series=series, effects=("next",))
    second = add(scheduler)
    scheduler.store.outbox.deliver(first.id)
    assert second.outcome == "created"
    assert scheduler.store.jobs.collection.count_documents({"series": first.id, **QUEUED}) == 1


def test_a_solo_job_that_has_to_wait_is_queued(scheduler: Scheduler) -> None:
    claim(scheduler, scheduler.add_job(Noop, solo=True))
    parked = add(scheduler, 1, solo=True)
    assert add(scheduler, 1, solo=True).id == parked.id


def test_40_threads_add_one(scheduler: Scheduler) -> None:
    barrier = threading.Barrier(40)
    scheduler.counts()

    def one(_number: int) -> Process:
        barrier.wait()
        return add(scheduler, {"a": 1})

    with ThreadPoolExecutor(40) as pool:
        added = list(pool.map(one, range(40)))
    assert sorted(process.outcome or "" for process in added) == ["created"] + ["existing"] * 39
    assert len({process.id for process in added}) == 1


def test_adding_against_a_node_that_claims_never_fails(scheduler: Scheduler) -> None:
    """Each claim makes room for just one more."""
    created, stop = [], threading.Event()

    def take() -> int:
        claims, taken = scheduler.store.claims, 0
        while not stop.is_set():
            ids = [job["_id"] for job in claims.candidates(Scope(["default"]), 10)]
            claims.claim(ids, "claim", BOOT, "node")
            taken += len(ids)
        return taken

    with ThreadPoolExecutor(5) as pool:
        taking = pool.submit(take)
        adding = [pool.submit(lambda: [add(scheduler) for _ in range(50)]) for _ in range(4)]
        for one in adding:
            created += [process for process in one.result() if process.outcome == "created"]
        stop.set()
        taken = taking.result()
    left = scheduler.store.jobs.collection.count_documents(QUEUED)
    assert left <= 1
    assert len({process.id for process in created}) == len(created) == taken + left


def test_a_batch_finds_those_that_are_queued_and_its_own(scheduler: Scheduler) -> None:
    heard: list[str] = []
    first = add(scheduler, 1)
    scheduler.on("*", lambda event, process: heard.append(event))
    entry = (Noop, 2, {"dedupe": True})
    added = scheduler.add_jobs([(Noop, 1, {"dedupe": True}), entry, (Noop, 2), entry])
    assert [process.outcome for process in added] == ["existing", "created", "created", "existing"]
    assert added[0].id == first.id
    assert added[1].id == added[3].id
    assert heard == ["waiting", "waiting"]


def test_calls_may_be_deduped(scheduler: Scheduler) -> None:
    calls = scheduler.with_options(dedupe=True)
    assert calls.submit("named", 1).id == calls.submit("named", 1).id
    assert scheduler.add_job(*call("named", 1), dedupe=True).outcome == "existing"


def test_an_id_that_is_taken_is_still_an_error(scheduler: Scheduler) -> None:
    first = add(scheduler)
    with pytest.raises(DuplicateJobError):
        add(scheduler, id=first.id)


def test_what_cannot_be_meant_is_refused(scheduler: Scheduler) -> None:
    with pytest.raises(InvalidOptionError, match="option dedupe must be a boolean"):
        scheduler.add_job(Noop, dedupe=1)
    with pytest.raises(InvalidOptionError, match="option dedupe is for add_job; add_job_once looks for running jobs"):
        scheduler.add_job_once(Noop, dedupe=True)


def test_a_plain_job_has_no_field_for_it(scheduler: Scheduler) -> None:
    assert "dedupe" not in scheduler.add_job(Noop).refresh().to_dict()
