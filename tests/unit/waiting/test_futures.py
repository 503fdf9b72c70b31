"""JobFuture: how the end of a job becomes the result, the exception or the cancellation of a future."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import Any, cast

import pytest
from bson import ObjectId
from tests.unit.waiting.fakes import document, process

from taskscheduler.errors import JobNotFoundError
from taskscheduler.model.job_errors import JobFailedError, JobTimeoutError
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler.waiting.futures import JobFuture


def end(future: JobFuture, status: Status, **fields: Any) -> None:
    future.completed(future.process.id, {**future.process.to_dict(), "status": int(status), **fields})


def test_a_job_that_is_done_gives_its_result() -> None:
    future = JobFuture(process())
    end(future, Status.DONE, result=5)
    assert (future.result(0), future.process.status) == (5, Status.DONE)


@pytest.mark.parametrize(("status", "error"), [(Status.FAILED, JobFailedError), (Status.TIMEOUT, JobTimeoutError)])
def test_a_job_that_did_not_succeed_raises_its_error(status: Status, error: type[Exception]) -> None:
    future = JobFuture(process())
    end(future, status)
    assert isinstance(future.exception(0), error)


def test_a_cancelled_job_cancels_its_future_and_wakes_who_waits() -> None:
    future, called = JobFuture(process()), list[Any]()
    future.add_done_callback(called.append)
    end(future, Status.CANCELED)
    assert future.cancelled()
    assert called == [future]
    with pytest.raises(CancelledError):
        future.result(0)


def test_what_keeps_the_job_from_ending_is_the_exception() -> None:
    future = JobFuture(process())
    future.completed(future.process.id, error := JobNotFoundError(future.process.id))
    assert future.exception(0) is error


def test_only_the_first_completion_counts() -> None:
    future = JobFuture(process())
    end(future, Status.DONE, result=1)
    end(future, Status.FAILED)
    assert (future.result(0), future.exception(0)) == (1, None)


class FakeAccess:
    """Cancels the job if it has not started, as a scheduler does."""

    def __init__(self, stored: dict[str, Any]) -> None:
        self.stored = stored

    def get_job(self, job_id: ObjectId) -> Process:
        return Process(cast(Any, self), self.stored)

    def cancel_job(self, job_id: ObjectId, only_queued: bool = False) -> bool:
        assert only_queued
        if self.stored["status"] != Status.WAITING:
            return False
        self.stored = {**self.stored, "status": int(Status.CANCELED)}
        return True


def future_of(status: Status, **fields: Any) -> JobFuture:
    stored = document(status, **fields)
    return JobFuture(Process(cast(Any, FakeAccess(stored)), {**stored, "status": int(Status.WAITING)}))


def test_cancel_keeps_a_queued_job_from_starting() -> None:
    future = future_of(Status.WAITING, attempt=0)
    assert future.cancel() is True
    assert future.cancelled()
    assert future.cancel() is True


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.DONE])
def test_cancel_leaves_a_job_alone_that_has_started(status: Status) -> None:
    future = future_of(status)
    assert future.cancel() is False
    assert not future.done()


def test_a_job_that_others_cancelled_before_its_start_is_cancelled_all_the_same() -> None:
    assert future_of(Status.CANCELED, attempt=0).cancel() is True
    assert future_of(Status.CANCELED, attempt=1).cancel() is False


def test_a_future_runs_while_a_node_has_its_job() -> None:
    assert future_of(Status.PROCESSING).running()
    assert not future_of(Status.WAITING).running()
