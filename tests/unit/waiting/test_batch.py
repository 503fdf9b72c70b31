"""The jobs of a batch as they complete."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId
from tests.support.tables import table
from tests.unit.waiting.fakes import FakeWatcher, process

from taskscheduler.errors import JobNotFoundError, WaitTimeoutError
from taskscheduler.model.lifecycle import Status
from taskscheduler.waiting.batch import BatchProgress, as_completed


def ended(one: Any, status: Status = Status.DONE) -> tuple[ObjectId, dict[str, Any]]:
    return one.id, {**one.to_dict(), "status": int(status)}


def test_jobs_come_in_the_order_in_which_they_end() -> None:
    first, second = process(), process(Status.POSTPONED)
    progress = BatchProgress([first, second])
    watcher = FakeWatcher(ended(second), ended(first))
    done = [(one, progress.done, progress.left) for one in as_completed(watcher.real, progress, None)]
    assert done == [(second, 1, 1), (first, 2, 0)]
    assert (progress.total, progress.succeeded) == (2, True)
    assert watcher.known == {first.id: Status.WAITING, second.id: Status.POSTPONED}
    assert len(watcher.ended) == 1


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELED, Status.TIMEOUT])
def test_one_that_does_not_succeed_fails_the_batch_for_good(status: Status) -> None:
    jobs = [process(), process()]
    progress = BatchProgress(jobs)
    watcher = FakeWatcher(ended(jobs[0], status), ended(jobs[1]))
    assert [one.status for one in as_completed(watcher.real, progress, None)] == [status, Status.DONE]
    assert not progress.succeeded


def test_a_completion_that_comes_twice_counts_once() -> None:
    first, second = process(), process()
    watcher = FakeWatcher(ended(first), ended(first), ended(second))
    assert list(as_completed(watcher.real, BatchProgress([first, second]), None)) == [first, second]


def test_a_batch_without_jobs_is_complete() -> None:
    progress = BatchProgress[Any]([])
    assert (list(as_completed(FakeWatcher().real, progress, 0)), progress.succeeded) == ([], True)


def test_a_batch_that_is_late_says_how_many_are_left_and_ends_its_subscription() -> None:
    jobs = [process() for _ in range(3)]
    watcher = FakeWatcher(ended(jobs[0]))
    completed = as_completed(watcher.real, BatchProgress(jobs), 0)
    assert next(completed) is jobs[0]
    with pytest.raises(WaitTimeoutError, match="2 jobs have not ended within 0 seconds"):
        next(completed)
    assert len(watcher.ended) == 1


@table("timeout", [-0.5, -1, -1e9, float("-inf")])
def test_a_batch_that_is_over_before_it_begins_takes_what_has_ended_and_is_late(timeout: float) -> None:
    first, second = process(), process()
    completed = as_completed(FakeWatcher(ended(first)).real, BatchProgress([first, second]), timeout)
    assert next(completed) is first
    with pytest.raises(WaitTimeoutError, match="1 job has not ended"):
        next(completed)


def test_what_keeps_a_job_from_ending_is_raised() -> None:
    job = process()
    watcher = FakeWatcher((job.id, JobNotFoundError(job.id)))
    with pytest.raises(JobNotFoundError):
        next(as_completed(watcher.real, BatchProgress([job]), None))
    assert len(watcher.ended) == 1
