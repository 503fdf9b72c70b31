"""Waiter: the jobs are read before and after the stream is opened."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
from bson import ObjectId
from pymongo.errors import AutoReconnect
from tests.unit.operations.fakes import FakeConnection, Heard, SettableClock
from tests.unit.waiting.fakes import FakeFeed, change, process

from taskscheduler.errors import JobNotFoundError, WaitTimeoutError
from taskscheduler.model.job_errors import JobFailedError
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler.store.change_events import status_pipeline
from taskscheduler.store.change_feed import GAP
from taskscheduler.waiting.waiter import Waiter


class Story:
    """Jobs that are stored, and a wait for them."""

    def __init__(self) -> None:
        self.clock = SettableClock(step=0.01)
        self.connection = FakeConnection(self.clock)
        self.connection.jobs.collection = None  # type: ignore[attr-defined]
        self.heard = Heard()

    def job(self, status: Status = Status.WAITING, age: float | None = None) -> Process:
        created = {} if age is None else {"created": self.clock.now() - timedelta(seconds=age)}
        made = process(status, queue="mail", **created)
        self.connection.jobs.stored[made.id] = made.to_dict()
        return made

    def ends(self, job: Process, status: Status) -> dict[str, Any]:
        return change(self.connection.jobs.stored[job.id], status)

    def wait(self, *jobs: Process, timeout: float | None = None, throw: bool = False) -> None:
        store: Any = self.connection.store
        Waiter(store, jobs, self.heard.announcer, self.clock, throw).wait(timeout)


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Story:
    monkeypatch.setattr("taskscheduler.waiting.waiter.ChangeFeed", FakeFeed)
    monkeypatch.setattr(FakeFeed, "opened", [])
    monkeypatch.setattr(FakeFeed, "events", [])
    return Story()


@pytest.mark.parametrize("known", [{"status": Status.WAITING}, {"status": Status.DONE, "age": 0}])
def test_jobs_that_have_ended_need_no_stream(story: Story, known: dict[str, Any]) -> None:
    job = story.job(**known)
    story.connection.jobs.stored[job.id]["status"] = int(Status.DONE)
    story.wait(job, job)
    assert job.status is Status.DONE
    assert FakeFeed.opened == []
    assert story.heard.events == ([("done", job.id)] if known["status"] is Status.WAITING else [])


def test_an_end_that_is_known_is_not_announced_again(story: Story) -> None:
    story.wait(story.job(Status.DONE))
    assert story.heard.events == []


def test_the_stream_brings_the_end_of_each_job(story: Story) -> None:
    first, second = story.job(), story.job()
    FakeFeed.events += [
        lambda: story.ends(second, Status.PROCESSING),
        lambda: story.ends(second, Status.FAILED),
        lambda: story.ends(first, Status.DONE),
    ]
    story.wait(first, second)
    assert (first.status, second.status) == (Status.DONE, Status.FAILED)
    assert story.heard.events == [("processing", second.id), ("failed", second.id), ("done", first.id)]
    assert [feed.is_open for feed in FakeFeed.opened] == [False]


def test_a_job_that_ends_while_the_stream_is_opened_is_found_by_the_second_look(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = story.job()
    monkeypatch.setattr(
        FakeFeed,
        "open",
        lambda self: story.ends(job, Status.DONE),  # its event is before the stream
    )
    story.wait(job, timeout=1)
    assert job.status is Status.DONE


@pytest.mark.parametrize(("ages", "looks"), [((0,), 1), ((1,), 2), ((None,), 2), ((0, 1), 2), ((0, 0), 1)])
def test_new_jobs_are_not_looked_at_before_the_stream_is_open(
    story: Story, monkeypatch: pytest.MonkeyPatch, ages: tuple[float | None, ...], looks: int
) -> None:
    """They have hardly ended yet, and that look would keep the server from running them."""
    jobs, stored = [story.job(age=age) for age in ages], story.connection.jobs
    monkeypatch.setattr(stored, "all_of", read := Mock(wraps=stored.all_of))
    FakeFeed.events += [partial(story.ends, job, Status.DONE) for job in jobs]
    story.wait(*jobs, timeout=1)
    assert (read.call_count, {job.status for job in jobs}) == (looks, {Status.DONE})


def test_a_new_job_that_has_ended_all_the_same_is_found(story: Story) -> None:
    job = story.job(age=0)
    story.connection.jobs.stored[job.id]["status"] = int(Status.DONE)
    story.wait(job, timeout=1)
    assert (job.status, story.heard.events) == (Status.DONE, [("done", job.id)])


def test_a_job_is_as_the_server_looked_it_up_for_its_end(story: Story) -> None:
    job = story.job()

    def end() -> dict[str, Any]:
        event = story.ends(job, Status.DONE)
        event["fullDocument"]["result"] = 7
        return event

    FakeFeed.events += [end]
    story.wait(job)
    assert job.result_value == 7


@pytest.mark.parametrize("later", [True, False])
def test_without_handlers_the_stream_brings_ends_alone(story: Story, later: bool) -> None:
    story.heard = Heard(connected=False)
    job = story.job()

    def nothing() -> None:
        if later:  # a handler comes while somebody waits
            story.heard.handlers.on("*", lambda _name, process: story.heard.events.append(("heard", process.id)))

    FakeFeed.events += [nothing, lambda: story.ends(job, Status.DONE)]
    story.wait(job)
    [feed] = FakeFeed.opened
    assert feed.pipeline == status_pipeline(ids=[job.id], ends=not later)
    assert story.heard.events == ([("heard", job.id)] if later else [])


@pytest.mark.parametrize("later", [Status.WAITING, None])
def test_a_job_that_has_gone_on_since_it_ended_is_read(story: Story, later: Status | None) -> None:
    job = story.job()

    def end() -> dict[str, Any]:
        event = story.ends(job, Status.FAILED)
        event["fullDocument"] = None if later is None else {**event["fullDocument"], "status": int(later)}
        story.connection.jobs.stored[job.id]["message"] = "now"
        return event

    FakeFeed.events += [end]
    story.wait(job)
    assert (job.status, job.message) == (Status.FAILED, "now")


@pytest.mark.parametrize("gap", [True, False])
def test_after_a_gap_and_after_a_while_the_jobs_are_read_again(story: Story, gap: bool) -> None:
    job = story.job()

    def lose() -> Any:
        story.connection.jobs.stored[job.id]["status"] = int(Status.DONE)
        story.clock.seconds += 0 if gap else 3
        return GAP if gap else None

    FakeFeed.events += [lose]
    story.wait(job, timeout=1 if gap else 10)
    assert (job.status, story.heard.events) == (Status.DONE, [("done", job.id)])


def test_an_attempt_that_failed_and_is_tried_again_does_not_end_the_wait(story: Story) -> None:
    job = story.job(Status.PROCESSING)

    def rearm() -> dict[str, Any]:
        event = story.ends(job, Status.POSTPONED)
        event["updateDescription"]["updatedFields"]["rearmed"] = "1:failed"
        return event

    FakeFeed.events += [rearm, lambda: story.ends(job, Status.DONE)]
    story.wait(job)
    assert [event for event, _ in story.heard.events] == ["failed", "postponed", "done"]


def test_a_wait_that_is_over_says_how_many_are_left(story: Story) -> None:
    first, second = story.job(), story.job()
    FakeFeed.events += [lambda: story.ends(first, Status.DONE)]
    with pytest.raises(WaitTimeoutError, match="1 job has not ended within 1 seconds"):
        story.wait(first, second, timeout=1)
    assert [feed.is_open for feed in FakeFeed.opened] == [False]


def test_a_deleted_job_is_an_error(story: Story) -> None:
    gone = process()
    with pytest.raises(JobNotFoundError) as caught:
        story.wait(story.job(), gone)
    assert caught.value.job_id == gone.id
    assert isinstance(gone.id, ObjectId)


def test_with_throw_the_first_that_did_not_succeed_ends_the_wait(story: Story) -> None:
    good, bad, open_end = story.job(), story.job(), story.job()
    FakeFeed.events += [lambda: story.ends(good, Status.DONE), lambda: story.ends(bad, Status.FAILED)]
    with pytest.raises(JobFailedError):
        story.wait(good, bad, open_end, throw=True)
    with pytest.raises(JobFailedError):  # also one that has ended before
        story.wait(bad, throw=True)


def passing(story: Story, *seconds: float) -> None:
    """The stream brings nothing while this time passes, part by part."""

    def pass_by(part: float) -> Any:
        story.clock.seconds += part
        return None

    FakeFeed.events += [partial(pass_by, part) for part in seconds]


def test_who_waits_is_told_once_why_no_node_runs_the_job(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    job = story.job()
    passing(story, 1.0, 1.5, 2.5, 5.0)
    with pytest.raises(WaitTimeoutError):
        story.wait(job, timeout=9)
    assert [record.getMessage() for record in caplog.records] == [
        "a job that is waited for does not start: no node that is up serves the queue mail; "
        "start one: taskscheduler node --uri URI --jobs MODULE"
    ]
    assert story.connection.nodes.reads == 1


def test_nobody_looks_at_the_nodes_before_two_seconds_or_for_a_job_that_runs(
    story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    passing(story, 1.0, 0.8)
    with pytest.raises(WaitTimeoutError):
        story.wait(story.job(), timeout=1.7)
    passing(story, 3.0, 3.0)
    with pytest.raises(WaitTimeoutError):
        story.wait(story.job(Status.PROCESSING), timeout=5)
    assert (story.connection.nodes.reads, caplog.records) == (0, [])


def test_a_wait_goes_on_if_the_nodes_cannot_be_read(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    job = story.job()
    story.connection.nodes.error = AutoReconnect("cut")
    passing(story, 2.5)
    FakeFeed.events += [lambda: story.ends(job, Status.DONE)]
    story.wait(job, timeout=60)
    assert (job.status, caplog.records) == (Status.DONE, [])
