"""The ends of jobs that return small results are written together, as each would be by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bson import Decimal128, ObjectId
from tests.support.nodes import NodeProcess

from taskscheduler import Process, Scheduler, Status
from taskscheduler.model.attempts.cost import Cost
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Transition, Verdict
from taskscheduler.store.attempts.alike import with_results
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.fence import Fence

RESULTS: list[Any] = [
    1, 2**40, 0.5, True, False, "", "$status", "$$ROOT", {}, [], [None], b"\0\1", Decimal128("1.50"), ObjectId(),
    datetime(2030, 1, 1, tzinfo=UTC), {"$literal": 1}, {"$where": "1", "a.b": {"$add": [1, 2]}},
    ["$at", {"x": "$$NOW"}], {"status": 5, "_id": 1, "result": {"deep": [[[1]]]}},
]  # fmt: skip

#: fields that come from adding and claiming
OF_THIS_JOB = {"_id", "at", "created", "wake", "claimed", "alive", "claim", "boot"}


def claimed_together(scheduler: Scheduler, count: int) -> tuple[list[Process], list[Fence]]:
    """Jobs that one claim got."""
    jobs = [scheduler.add_job("noop", retry=5) for _ in range(count)]
    claim = str(ObjectId())
    assert scheduler.store.claims.claim([job.id for job in jobs], claim, ObjectId(), "a-node") == count
    return jobs, [Fence(job.id, claim, 1) for job in jobs]


def ends_of(scheduler: Scheduler, fences: list[Fence], before: float = -60) -> list[Completion]:
    """Their ends, each with a result, times, costs and a worker of its own. In a minute, so that none is late."""
    now = round(scheduler.store.clock.at(scheduler.store.clock.monotonic()), 3)
    ends = []
    for number, (fence, result) in enumerate(zip(fences, RESULTS, strict=False)):
        began = now - before - number / 100
        end = Completion(
            fence, Verdict(Transition.SUCCEED), f"w{number}", result=result, began=began, ended=began + 0.1
        )
        end.cost = Cost(number / 1000, 2**20 + number) if number else Cost()
        ends.append(end)
    return ends


def stored(scheduler: Scheduler, jobs: list[Process]) -> list[Document]:
    """What is the same in jobs that ended in the same way."""
    found = [scheduler.store.jobs.get(job.id) or {} for job in jobs]
    return [{name: value for name, value in job.items() if name not in OF_THIS_JOB} for job in found]


def test_each_job_is_stored_as_if_it_was_written_by_itself(scheduler: Scheduler) -> None:
    together, fences = claimed_together(scheduler, len(RESULTS))
    alone, others = claimed_together(scheduler, len(RESULTS))
    ends = ends_of(scheduler, fences)
    assert [len(part) for part in with_results(ends)] == [len(RESULTS)]
    assert scheduler.store.completions.write(ends) == len(RESULTS)
    for end, fence in zip(ends, others, strict=True):
        end.fence = fence
        assert scheduler.store.completions.write([end]) == 1
    assert stored(scheduler, together) == stored(scheduler, alone)
    assert [job["result"] for job in stored(scheduler, together)] == RESULTS
    assert {job.refresh().status for job in together} == {Status.DONE}


def test_each_is_written_behind_its_fence(scheduler: Scheduler) -> None:
    (done, cancelled, again), fences = claimed_together(scheduler, 3)
    cancelled.cancel()
    completions = scheduler.store.completions
    assert completions.write([Completion(fences[2], Verdict(Transition.RELEASE), error={"type": "x"})]) == 1
    scheduler.store.claims.claim([again.id], str(ObjectId()), ObjectId(), "another")
    ends = ends_of(scheduler, fences)
    assert completions.write(ends) == 1
    assert completions.confirmed(ends) == {done.id}
    assert [job.refresh().status for job in (done, cancelled, again)] == [3, 5, 2]
    assert (done.result_value, cancelled.result_value, again.result_value) == (1, None, None)
    assert completions.write(ends) == 0


def test_who_waits_for_many_gets_the_result_of_each(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess]
) -> None:
    numbers = scheduler.add_jobs([("echo", number) for number in range(300)])
    large = scheduler.add_job("echo", "x" * 5000)
    start_node()
    scheduler.wait_for([*numbers, large], timeout=60)
    assert [one.result_value["data"] for one in numbers] == list(range(300))
    assert [one.result_value["id"] for one in numbers] == [one.id for one in numbers]
    assert large.result_value["data"] == "x" * 5000


def test_one_that_is_written_late_has_the_time_of_the_write(scheduler: Scheduler) -> None:
    jobs, fences = claimed_together(scheduler, 2)
    ends = ends_of(scheduler, fences, before=60)
    assert scheduler.store.completions.write(ends) == 2
    for job, end in zip(stored(scheduler, jobs), ends, strict=True):
        assert job["ended"].timestamp() > end.began + 50


def test_a_result_that_the_server_refuses_holds_up_no_other(scheduler: Scheduler) -> None:
    """One alone is an ordinary end: so the node finds which of them it is."""
    _, fences = claimed_together(scheduler, 1)
    assert with_results(ends_of(scheduler, fences)) == []
