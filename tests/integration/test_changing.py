"""A queued job is changed in place, and an ended one when it is retried."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from tests.support.calls import resize
from tests.support.jobs import Echo, Fail, Noop

from taskscheduler import (
    AsyncScheduler,
    InvalidArgumentsError,
    InvalidOptionError,
    InvalidStateError,
    JobNotFoundError,
    PayloadTooLargeError,
    Scheduler,
    Status,
)
from taskscheduler.store.attempts.claiming import claim_update
from taskscheduler.testing import InlineNode

LATER = datetime(2100, 1, 1, tzinfo=UTC)


def test_a_queued_job_is_changed_in_place(scheduler: Scheduler) -> None:
    job = scheduler.add_job(Echo, 1, tags=["a"], retry=3)
    changed = scheduler.update_job(job.id, priority=5, queue="bulk", data={"n": 2}, tags=["b", "c"])
    assert changed.id == job.id
    assert (changed.data, changed.tags, changed.status) == ({"n": 2}, ["b", "c"], Status.WAITING)
    assert [changed.options[name] for name in ("priority", "queue", "retry")] == [5, "bulk", 3]
    assert changed.to_dict() == job.refresh().to_dict()
    assert scheduler.update_job(job.id, tags=[]).tags == []
    assert scheduler.update_job(str(job.id), data=None).data is None
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert job.refresh().result_value["data"] is None


def test_a_job_is_put_off_and_brought_forward(scheduler: Scheduler) -> None:
    job = scheduler.add_job(Noop)
    assert scheduler.update_job(job.id, at=LATER).status is Status.POSTPONED
    assert (job.refresh().at, job.options["at"]) == (LATER, LATER.timestamp())
    assert scheduler.update_job(job.id, at=LATER + timedelta(1)).status is Status.POSTPONED
    assert scheduler.update_job(job.id, at=timedelta(hours=1)).status is Status.POSTPONED
    assert scheduler.update_job(job.id, at=0).status is Status.WAITING
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert job.refresh().status is Status.DONE
    assert job.wait_time is not None
    assert job.wait_time < 60


def test_a_solo_job_that_is_put_off_lets_the_next_one_in(scheduler: Scheduler) -> None:
    first, second = (scheduler.add_job(Echo, number, solo="key") for number in range(2))
    assert [first.refresh().status, second.refresh().status] == [Status.WAITING, Status.POSTPONED]
    assert scheduler.update_job(first.id, at=LATER).status is Status.POSTPONED
    assert second.refresh().status is Status.WAITING
    assert "gate" not in first.refresh().to_dict()
    assert scheduler.update_job(first.id, at=0).at is not None
    assert first.refresh().status is Status.POSTPONED  # its turn comes after the second one
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert [first.refresh().status, second.refresh().status] == [Status.DONE, Status.DONE]


def test_a_parked_solo_job_is_put_off(scheduler: Scheduler) -> None:
    _, second = (scheduler.add_job(Echo, number, solo="key") for number in range(2))
    assert scheduler.update_job(second.id, at=LATER).at == LATER
    assert "parked_at" not in second.refresh().to_dict()


@pytest.mark.parametrize("how", ["dedupe", "once"])
def test_keys_follow_the_data(scheduler: Scheduler, how: str) -> None:
    def add(data: Any) -> ObjectId:
        if how == "once":
            return scheduler.add_job_once(Noop, data).id
        return scheduler.add_job(Noop, data, dedupe=True).id

    first, second = add(1), add(2)
    with pytest.raises(InvalidStateError, match="cannot get these data: an equal job is live already"):
        scheduler.update_job(first, data=2)
    scheduler.update_job(first, data=3)
    assert add(3) == first
    assert add(1) not in (first, second)
    with pytest.raises(InvalidStateError, match="an equal job is live already"):
        scheduler.update_job(first, data=1)


def test_a_key_without_data_stays(scheduler: Scheduler) -> None:
    job = scheduler.add_job(Noop, 1, dedupe=True, ignore_data=True)
    scheduler.update_job(job.id, data=2)
    assert scheduler.add_job(Noop, 5, dedupe=True, ignore_data=True).id == job.id


@pytest.mark.parametrize("status", ["processing", "done", "failed", "canceled"])
def test_a_job_that_has_started_or_ended_is_not_changed(scheduler: Scheduler, status: str) -> None:
    job = scheduler.add_job(Noop, 1)
    collection = scheduler.store.jobs.collection
    if status == "processing":
        collection.update_one({"_id": job.id}, claim_update("claim", ObjectId(), "node"))
    else:
        collection.update_one({"_id": job.id}, {"$set": {"status": int(Status[status.upper()])}})
    with pytest.raises(InvalidStateError, match=f"is {status}; only a job that waits or is postponed can be changed"):
        scheduler.update_job(job.id, data=2)
    assert job.refresh().data == 1


def test_a_job_that_starts_just_then_is_not_changed(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    job, queued_jobs = scheduler.add_job(Noop, 1), scheduler.store.queued_jobs
    change = queued_jobs.change

    def after_a_claim(*given: Any) -> Any:
        scheduler.store.claims.claim([job.id], "claim", ObjectId(), "node")
        return change(*given)

    monkeypatch.setattr(queued_jobs, "change", after_a_claim)
    with pytest.raises(InvalidStateError, match="is processing"):
        scheduler.update_job(job.id, data=2)
    assert job.refresh().data == 1


def test_services_and_unknown_jobs_are_not_changed(scheduler: Scheduler) -> None:
    with pytest.raises(JobNotFoundError):
        scheduler.update_job(ObjectId(), priority=1)
    with pytest.raises(InvalidStateError, match="is a service: change it with start_service"):
        scheduler.update_job(scheduler.start_service("web").id, priority=1)


def test_a_job_of_a_stranger_is_not_changed(scheduler: Scheduler) -> None:
    scheduler.store.jobs.collection.insert_one({**scheduler.add_job(Noop).to_dict(), "_id": "report-7"})
    with pytest.raises(InvalidStateError, match="its id is no ObjectId"):
        scheduler.update_job('"report-7"', priority=1)
    assert scheduler.select("class:noop").cancel().count == 1


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, InvalidOptionError, "say what to change: priority, at, queue, data or tags"),
        ({"priority": "high"}, InvalidOptionError, "option priority must be an integer"),
        ({"queue": "A B"}, InvalidOptionError, "option queue must be a name"),
        ({"at": 5}, InvalidOptionError, "option at must be a plausible unix time"),
        ({"tags": "x"}, InvalidOptionError, "option tags must be a list of texts"),
        ({"data": {"name": 5}}, InvalidArgumentsError, "job resize: argument name must be"),
        ({"data": b"x" * 2_000_000}, PayloadTooLargeError, "more than max_payload"),
    ],
)
def test_wrong_changes_are_refused(scheduler: Scheduler, given: Any, error: type[Exception], message: str) -> None:
    name = resize if error is InvalidArgumentsError else "any"
    job = scheduler.add_job(name, {"name": "a"} if name is resize else None).refresh()
    with pytest.raises(error, match=message):
        scheduler.update_job(job.id, **given)
    assert job.to_dict() == job.refresh().to_dict()


# -- a retry with changes ---------------------------------------------------------------------------------------------


def test_a_retry_with_other_data_keeps_the_old_ones(scheduler: Scheduler) -> None:
    job = scheduler.add_job(Fail, "first")
    for data in ("second", "third"):
        with InlineNode(scheduler) as node:
            node.run_until_idle()
        again = scheduler.retry_job(job.id, data, priority=2, reason=f"try {data}")
        assert (again.data, again.options["priority"], again.status) == (data, 2, Status.WAITING)
    entries = [(one["data"], one["retried"], one["error"]["message"]) for one in job.refresh().attempts]
    assert entries == [("first", "try second", "first"), ("second", "try third", "second")]


def test_large_old_data_are_kept_once(scheduler: Scheduler) -> None:
    job = scheduler.add_job(Fail, "x" * 200_000)
    for size in (200_001, 200_002):
        scheduler.cancel_job(job.id)
        scheduler.retry_job(job.id, "x" * size)
    assert [len(one.get("data", "")) for one in job.refresh().attempts] == [0, 200_001]


def test_a_retry_may_be_kinder(scheduler: Scheduler) -> None:
    job = scheduler.add_job(Noop)
    job.cancel()
    kinder: dict[str, Any] = {"retry": 5, "backoff": [1, 5], "jitter": 0.5, "retry_for": 3600}
    again = scheduler.retry_job(job.id, **kinder)
    assert {name: again.options[name] for name in kinder} == kinder
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert job.refresh().status is Status.DONE


def test_a_retry_may_be_put_off(scheduler: Scheduler) -> None:
    job = scheduler.add_job(Noop)
    job.cancel()
    assert scheduler.retry_job(job.id, at=LATER).status is Status.POSTPONED
    assert (job.refresh().at, job.data) == (LATER, None)


def test_a_solo_job_that_is_retried_later_is_not_parked(scheduler: Scheduler) -> None:
    job, other = scheduler.add_job(Echo, 1, solo="key"), scheduler.add_job(Echo, 2, solo="key")
    job.cancel()
    assert scheduler.retry_job(job.id, at=timedelta(minutes=5)).status is Status.POSTPONED
    with InlineNode(scheduler) as node:
        node.run_until_idle()
        assert [job.refresh().status, other.refresh().status] == [Status.POSTPONED, Status.DONE]
        node.advance(301)
        node.run_due()
    assert job.refresh().status is Status.DONE


def test_wrong_changes_of_a_retry_are_refused(scheduler: Scheduler) -> None:
    job = scheduler.add_job(Noop)
    job.cancel()
    with pytest.raises(InvalidOptionError, match="option id cannot be changed"):
        scheduler.retry_job(job.id, id=ObjectId())
    with pytest.raises(InvalidOptionError, match="option reason must be"):
        scheduler.retry_job(job.id, reason="x" * 501)
    with pytest.raises(InvalidOptionError, match="option reason must be"):
        scheduler.cancel_job(job.id, reason=5)  # type: ignore[arg-type]
    assert job.refresh().status is Status.CANCELED


def test_changes_in_asyncio(uri: str, scheduler: Scheduler) -> None:
    job = scheduler.add_job(Noop, 1)

    async def act() -> None:
        async with AsyncScheduler(uri) as twin:
            assert (await twin.update_job(job.id, data=2)).data == 2
            await twin.cancel_job(job.id, reason="no")
            assert (await twin.retry_job(job.id, 3, priority=1)).data == 3

    asyncio.run(act())
