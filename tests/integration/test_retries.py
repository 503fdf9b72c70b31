"""Retries with growing pauses and limits in time, jobs that put themselves off, and jobs that are too late."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
import tests.support.jobs  # noqa: F401
from tests.support.nodes import NodeProcess

from taskscheduler import (
    InvalidOptionError,
    InvalidStateError,
    Job,
    JobCanceledError,
    JobFailedError,
    Outcome,
    Process,
    Scheduler,
    Service,
    Status,
)
from taskscheduler.testing import InlineNode


class Poll(Job):
    """Puts itself off by what the test says."""

    name = "retries-poll"
    by: ClassVar[dict[str, Any]] = {}
    outcomes: ClassVar[list[Status]] = []

    def start(self) -> str:
        if self.by:
            self.snooze(**self.by)
        return "ready"

    def tear_down(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome.status)


class Stops(Job):
    """Makes another job late."""

    name = "retries-stops"

    def start(self) -> None:
        past = datetime.now(UTC) - timedelta(hours=1)
        self.scheduler.store.jobs.collection.update_one({"_id": self.data}, {"$set": {"expires": past}})


class Told(Job):
    """Notes how it ended."""

    name = "retries-told"
    told: ClassVar[list[Status]] = []

    def start(self) -> None: ...

    def notification(self, status: Status, process: Process) -> None:
        self.told.append(status)


@pytest.fixture
def inline(scheduler: Scheduler) -> InlineNode:
    return InlineNode(scheduler)


@pytest.fixture(autouse=True)
def forget() -> None:
    Poll.by, Poll.outcomes, Told.told = {}, [], []


def pause(process: Process) -> float:
    """The seconds between the end of the last attempt and the next one."""
    last = process.refresh().attempts[-1]
    assert process.at is not None
    seconds: float = (process.at - last["ended"]).total_seconds()
    return seconds


# -- pauses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"backoff": "linear"}, [10, 20, 30]),
        ({"backoff": "exponential"}, [10, 20, 40]),
        ({"backoff": "exponential", "retry_interval_max": 15}, [10, 15, 15]),
        ({"backoff": [5, 1]}, [5, 1, 1]),
    ],
)
def test_pauses_grow(scheduler: Scheduler, inline: InlineNode, options: dict[str, Any], expected: list[int]) -> None:
    process = scheduler.add_job("fail", "no", retry=3, retry_interval=10, **options)
    for seconds in expected:
        assert [one.id for one in inline.run_due()] == [process.id]
        assert pause(process) == pytest.approx(seconds, abs=0.01)
        inline.advance(seconds)
    inline.run_until_idle()
    assert (process.refresh().status, process.attempt) == (Status.FAILED, 4)


def test_jitter_shortens_the_pause_of_each_job_by_another_share(scheduler: Scheduler, inline: InlineNode) -> None:
    processes = scheduler.add_jobs([("fail", None, {"retry": 1, "retry_interval": 100, "jitter": 0.4})] * 20)
    inline.run_due()
    pauses = [pause(process) for process in processes]
    assert 59.9 <= min(pauses) < max(pauses) <= 100.1
    assert len({round(one, 2) for one in pauses}) > 15


def test_the_pause_that_a_job_asks_for_is_not_longer_than_the_longest(scheduler: Scheduler, inline: InlineNode) -> None:
    process = scheduler.add_job("chooses", "RetryLater", retry=1, retry_interval=5, retry_interval_max=30, jitter=1)
    inline.run_due()
    assert pause(process) == pytest.approx(30, abs=0.01)
    assert (process.error or {})["type"] == "Retry"
    inline.advance(30)
    inline.run_due()
    assert process.refresh().status is Status.FAILED


def test_no_try_begins_later_than_the_limit_after_the_first_start(scheduler: Scheduler, inline: InlineNode) -> None:
    process = scheduler.add_job("fail", "no", retry=-1, retry_interval=40, retry_for=100)
    for _ in range(2):
        inline.run_due()
        assert process.refresh().status is Status.POSTPONED
        inline.advance(40)
    inline.run_due()
    assert (process.refresh().status, process.attempt) == (Status.FAILED, 3)
    error = process.error or {}
    assert error["no_retry"] == "its next try would begin more than 100 s after the first start"


def test_a_try_for_which_there_was_no_slot_in_time_is_not_begun(scheduler: Scheduler, inline: InlineNode) -> None:
    heard: list[str] = []
    scheduler.on("*", lambda event, _: heard.append(event))
    process = scheduler.add_job("fail", "no", retry=-1, retry_interval=40, retry_for=100)
    inline.run_due()
    inline.advance(101)
    assert inline.run_until_idle() == []
    with pytest.raises(JobFailedError, match="failed: ValueError: no"):
        process.result(timeout=30)
    assert (process.status, process.attempt, len(process.attempts)) == (Status.FAILED, 1, 1)
    assert (process.error or {})["no_retry"] == "its next try has not begun within 100 s of the first start"
    assert heard == ["waiting", "processing", "failed", "postponed", "failed"]
    other = scheduler.add_job("fail", "no")
    inline.run_due()
    assert process.to_dict()["fingerprint"] == other.refresh().to_dict()["fingerprint"]


def test_a_job_without_such_options_is_stored_as_before(scheduler: Scheduler, inline: InlineNode) -> None:
    process = scheduler.add_job("fail", "no", retry=1, retry_interval=5)
    inline.run_due()
    stored = process.refresh().to_dict()
    assert {"expires", "first_started", "snoozes"}.isdisjoint(stored)
    assert len(stored["options"]) == 8
    assert "pause" not in stored["attempts"][0]


# -- snooze -----------------------------------------------------------------------------------------------------------


def test_a_job_puts_itself_off_uncharged(scheduler: Scheduler, inline: InlineNode) -> None:
    Poll.by = {"seconds": 60, "reason": "quota used up"}
    process = scheduler.add_job(Poll, retry=0)
    inline.run_due()
    assert (process.refresh().status, process.snoozes) == (Status.POSTPONED, 1)
    assert pause(process) == pytest.approx(60, abs=0.01)
    inline.advance(30)
    assert inline.run_until_idle() == []
    inline.advance(30)
    inline.run_due()
    assert process.refresh().snoozes == 2
    Poll.by = {}
    inline.advance(60)
    inline.run_due()
    assert process.result(timeout=30) == "ready"
    stored = process.to_dict()
    assert (stored["retries"], stored["lost"], process.error) == (0, 0, None)
    attempts = [(one["attempt"], one["status"], one.get("reason"), one["error"]) for one in process.attempts]
    snoozed = (Status.POSTPONED, "quota used up", None)
    assert attempts == [(1, *snoozed), (2, *snoozed), (3, Status.DONE, None, None)]
    assert Poll.outcomes == [Status.POSTPONED, Status.POSTPONED, Status.DONE]


def test_a_job_puts_itself_off_until_a_date(scheduler: Scheduler, inline: InlineNode) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    Poll.by = {"until": until}
    process = scheduler.add_job(Poll)
    inline.run_due()
    assert (process.refresh().status, process.at) == (Status.POSTPONED, until)
    Poll.by = {"until": until - timedelta(days=1)}
    inline.advance(3601)
    inline.run_due()
    assert process.refresh().status is Status.POSTPONED
    Poll.by = {}
    inline.run_due()
    assert process.refresh().status is Status.DONE


def test_each_end_of_a_job_that_snoozes_is_announced_once(scheduler: Scheduler, inline: InlineNode) -> None:
    heard: list[str] = []
    scheduler.on("*", lambda event, _: heard.append(event))
    process = scheduler.add_job("snoozes", 1)
    inline.run_until_idle()
    process.wait(timeout=30)
    assert heard == ["waiting", "processing", "postponed", "waiting", "processing", "done"]


def test_a_snooze_begins_the_time_for_retries_anew(scheduler: Scheduler, inline: InlineNode) -> None:
    Poll.by = {"seconds": 3600}
    process = scheduler.add_job(Poll, retry=1, retry_interval=5, retry_for=60)
    inline.run_due()
    Poll.by = {"seconds": "wrong"}
    inline.advance(3600)
    inline.run_due()
    assert (process.refresh().status, (process.error or {})["type"]) == (Status.POSTPONED, "InvalidOptionError")
    assert process.expires is not None


def test_a_service_does_not_put_itself_off() -> None:
    class Serves(Service):
        name = "retries-serves"

    with pytest.raises(InvalidStateError, match="let it wait with"):
        Serves().snooze(5)


def test_a_job_that_is_put_back_begins_like_a_new_one(scheduler: Scheduler, inline: InlineNode) -> None:
    process = scheduler.add_job("snoozes", 1, start_by=60)
    inline.run_until_idle()
    late = scheduler.add_job("noop", start_by=60)
    inline.advance(61)
    assert inline.run_due() == []
    for one in (process, late):
        again = scheduler.retry_job(one.refresh().id)
        assert (again.snoozes, again.expires) == (0, None)
    assert [one.status for one in inline.run_until_idle()] == [Status.DONE, Status.DONE]


# -- start_by ---------------------------------------------------------------------------------------------------------


def test_a_job_that_has_not_started_in_time_is_cancelled(scheduler: Scheduler, inline: InlineNode) -> None:
    heard: list[str] = []
    scheduler.on("*", lambda event, _: heard.append(event))
    process = scheduler.add_job(Told, start_by=60)
    child = scheduler.add_job("noop", parent=process.id, at=timedelta(hours=1))
    inline.advance(61)
    assert inline.run_until_idle() == []
    with pytest.raises(JobCanceledError, match=r"was cancelled: it has not started by .* UTC, as its option start_by"):
        process.result(timeout=30)
    assert (process.status, process.attempt, (process.error or {})["type"]) == (Status.CANCELED, 0, "ExpiredError")
    assert (child.refresh().status, Told.told) == (Status.CANCELED, [Status.CANCELED])
    assert heard.count("cancel") == 1
    assert "processing" not in heard


@pytest.mark.parametrize("start_by", [60, timedelta(minutes=1), datetime(2100, 1, 1, tzinfo=UTC)])
def test_a_job_that_starts_in_time_may_take_longer_and_be_tried_later(
    scheduler: Scheduler, inline: InlineNode, start_by: Any
) -> None:
    process = scheduler.add_job("flaky", 2, start_by=start_by, retry=1, retry_interval=7200)
    inline.run_due()
    assert process.refresh().expires is None
    inline.advance(7200)
    inline.run_due()
    assert process.refresh().status is Status.DONE


def test_a_job_that_became_late_while_others_ran_does_not_start(scheduler: Scheduler, inline: InlineNode) -> None:
    late = scheduler.add_job("noop", start_by=60)
    first = scheduler.add_job(Stops, late.id, priority=1)
    assert [one.id for one in inline.run_due()] == [first.id]
    assert (late.refresh().status, late.attempt, late.attempts) == (Status.CANCELED, 0, [])


def test_the_next_run_of_an_interval_has_as_much_time_from_its_own_time_on(
    scheduler: Scheduler, inline: InlineNode
) -> None:
    first = scheduler.add_job("noop", interval=3600, start_by=60)
    inline.advance(61)
    assert inline.run_due() == []
    assert first.refresh().status is Status.CANCELED
    (following,) = scheduler.get_jobs({"series": first.id, "status": Status.POSTPONED})
    assert following.at is not None
    assert following.expires == following.at + timedelta(seconds=60)
    inline.advance(3600)
    assert [one.id for one in inline.run_due()] == [following.id]
    assert following.refresh().status is Status.DONE


def test_a_late_solo_job_frees_its_turn(scheduler: Scheduler, inline: InlineNode) -> None:
    first, second = (scheduler.add_job("noop", solo="retries", start_by=seconds) for seconds in (60, 3600))
    store = scheduler.store
    store.admission.admit_next(["solo:retries"])
    assert first.refresh().status is Status.WAITING
    inline.advance(61)
    assert [one.id for one in inline.run_until_idle()] == [second.id]
    assert (first.refresh().status, second.refresh().status) == (Status.CANCELED, Status.DONE)


def test_an_odd_limit_costs_only_its_job(scheduler: Scheduler, inline: InlineNode) -> None:
    odd, late = scheduler.add_job("noop", start_by=60), scheduler.add_job("noop", start_by=60)
    scheduler.store.jobs.collection.update_one({"_id": odd.id}, {"$set": {"expires": "yesterday"}})
    inline.advance(61)
    assert inline.run_due() == []
    assert (odd.refresh().status, (odd.error or {})["type"]) == (Status.FAILED, "InvalidDocumentError")
    assert late.refresh().status is Status.CANCELED


def test_a_run_of_a_schedule_has_its_time_from_when_it_is_added(scheduler: Scheduler) -> None:
    scheduler.schedules.add("retries", "noop", every=3600, start_by=60)
    run = scheduler.schedules.run("retries")
    assert run.created is not None
    assert run.expires == run.created + timedelta(seconds=60)
    with pytest.raises(InvalidOptionError, match="option start_by must be a number of seconds"):
        scheduler.schedules.add("retries", "noop", every=3600, start_by=datetime.now(UTC) + timedelta(hours=1))


def test_a_job_cannot_have_to_start_before_it_is_due(scheduler: Scheduler) -> None:
    later = timedelta(hours=1)
    with pytest.raises(InvalidOptionError, match=r"option start_by \(.* UTC\) must be after option at \(.* UTC\)"):
        scheduler.add_job("noop", at=later, start_by=60)
    assert scheduler.add_job("noop", at=later, start_by=7200).status is Status.POSTPONED


def test_a_node_ends_what_is_late_in_a_queue_that_nobody_serves(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess]
) -> None:
    start_node(queues=["default"])
    late = scheduler.add_job("noop", queue="nobody", start_by=0.3)
    with pytest.raises(JobCanceledError, match="has not started by"):
        late.result(timeout=20)
    assert late.attempt == 0
