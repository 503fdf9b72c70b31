"""Steps, sleeps and signals of jobs: what was done once is not done again, whoever runs the job."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from tests.support.jobs import traces
from tests.support.resumable import AsyncOrder, Order

from taskscheduler import (
    InvalidDataError,
    InvalidOptionError,
    InvalidStateError,
    Job,
    JobNotFoundError,
    PayloadTooLargeError,
    Process,
    Scheduler,
    SchedulerError,
    Status,
)
from taskscheduler.model.resumable.steps import MOST_STEPS
from taskscheduler.testing import InlineNode

A_DAY = 86_400


@pytest.fixture
def inline(scheduler: Scheduler) -> Iterator[InlineNode]:
    with InlineNode(scheduler) as node:
        yield node


@pytest.fixture
def log(tmp_path: Path) -> str:
    return str(tmp_path / "trace")


def steps_in(log: str) -> list[tuple[str, int]]:
    """The steps that ran, each with its attempt."""
    return [(words[1], int(words[2])) for words in traces(log)]


def names(process: Process) -> list[str]:
    return [step["name"] for step in process.refresh().steps]


@pytest.fixture(params=[Order, AsyncOrder])
def order(request: pytest.FixtureRequest) -> type[Job]:
    found: type[Job] = request.param
    return found


# -- steps ------------------------------------------------------------------------------------------------------------


def test_a_step_runs_once_however_often_the_job_does(
    scheduler: Scheduler, inline: InlineNode, log: str, order: type[Job]
) -> None:
    process = scheduler.add_job(order, {"trace": log, "fails_in": "ship"}, retry=2, retry_interval=0)
    inline.run_until_idle()
    assert process.refresh().status is Status.DONE
    assert sorted(steps_in(log)[:2]) == [("charge", 1), ("reserve", 1)]
    assert steps_in(log)[2:] == [("ship", 1), ("ship", 2)]


def test_the_first_attempt_gets_a_result_as_it_is_stored(scheduler: Scheduler, inline: InlineNode) -> None:
    class Seen(Job):
        def start(self) -> Any:
            at = self.step("at", lambda: datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC))
            pair = self.step("pair", lambda: (1, 2))
            return {"pair": type(pair).__name__, "at": at.microsecond}

    process = scheduler.add_job(Seen)
    inline.run_due()
    assert process.refresh().result_value == {"pair": "list", "at": 678_000}


def test_a_step_may_return_none(scheduler: Scheduler, inline: InlineNode) -> None:
    called: list[int] = []

    class Nothing(Job):
        def start(self) -> Any:
            self.step("nothing", called.append, self.attempt)
            if self.attempt == 1:
                raise OSError

    scheduler.add_job(Nothing, retry=1, retry_interval=0)
    inline.run_until_idle()
    assert called == [1]


def test_two_steps_of_one_name_are_refused(scheduler: Scheduler, inline: InlineNode) -> None:
    class Twice(Job):
        def start(self) -> Any:
            self.step("same", int)
            self.step("same", int)

    process = scheduler.add_job(Twice)
    inline.run_due()
    error = process.refresh().error
    assert error is not None
    assert error["type"] == "InvalidStateError"
    assert "'same'" in error["message"]


def test_a_step_that_failed_may_be_tried_again_in_the_same_attempt(scheduler: Scheduler, inline: InlineNode) -> None:
    class Stubborn(Job):
        def start(self) -> Any:
            for number in range(3):
                try:
                    return self.step("it", (int,).__getitem__, number)
                except IndexError:
                    continue
            return [self.step("it", lambda: "third"), self.step("other", lambda: 4)]

    process = scheduler.add_job(Stubborn)
    inline.run_due()
    error = process.refresh().error  # the class of the first one cannot be stored
    assert error is not None
    assert error["type"] == "InvalidDataError"
    assert "step 'it'" in error["message"]


def test_a_name_keeps_its_kind(scheduler: Scheduler, inline: InlineNode) -> None:
    class Changed(Job):
        def start(self) -> Any:
            if self.attempt == 1:
                self.step("pause", int)
                raise OSError
            self.sleep(1, name="pause")

    process = scheduler.add_job(Changed, retry=1, retry_interval=0)
    inline.run_until_idle()
    error = process.refresh().error
    assert error is not None
    assert "'pause' was a step of this job in attempt 1 and is now a sleep" in error["message"]


def test_a_step_is_refused_where_it_makes_no_sense(scheduler: Scheduler, inline: InlineNode) -> None:
    with pytest.raises(SchedulerError, match="only while a worker runs it"):
        Order().step("a", int)

    class Wrong(Job):
        def start(self) -> Any:
            with pytest.raises(InvalidOptionError, match="takes a function"):
                self.step("a", 3)  # type: ignore[arg-type]
            with pytest.raises(InvalidOptionError, match="the name of a step must be a text"):
                self.step("", int)
            with pytest.raises(InvalidOptionError, match="the name of a signal must be a text"):
                self.wait_for(7)  # type: ignore[arg-type]
            with pytest.raises(InvalidOptionError, match="sleep takes seconds"):
                self.sleep()
            with pytest.raises(InvalidOptionError, match="either until or seconds"):
                self.sleep(3, until=datetime.now(UTC))
            with pytest.raises(InvalidDataError, match="the result of step 'a' cannot be stored"):
                self.step("a", object)
            with pytest.raises(PayloadTooLargeError, match="the result of step 'a' takes"):
                self.step("a", lambda: b"x" * 20_000_000)

    process = scheduler.add_job(Wrong)
    inline.run_due()
    assert process.refresh().error is None


def test_a_job_has_a_thousand_steps_at_most(scheduler: Scheduler, inline: InlineNode) -> None:
    class Many(Job):
        def start(self) -> Any:
            self.step("last", int)
            self.step("one more", int)

    process = scheduler.add_job(Many)
    full = [{"name": str(number), "at": datetime.now(UTC), "attempt": 0} for number in range(MOST_STEPS - 1)]
    scheduler.store.jobs.collection.update_one({"_id": process.id}, {"$set": {"steps": full}})
    inline.run_due()
    error = process.refresh().error
    assert error is not None
    assert f"has {MOST_STEPS} steps" in error["message"]
    assert names(process)[-1] == "last"


def test_a_job_cannot_outgrow_a_document(scheduler: Scheduler, inline: InlineNode) -> None:
    class Fat(Job):
        def start(self) -> Any:
            for number in range(20):
                self.step(str(number), lambda: b"x" * 1_000_000)

    process = scheduler.add_job(Fat)
    inline.run_due()
    error = process.refresh().error
    assert error is not None
    assert error["type"] == "PayloadTooLargeError"
    assert "step '16' does not fit into job" in error["message"]


def test_the_next_run_begins_without_steps(scheduler: Scheduler, inline: InlineNode, log: str) -> None:
    first = scheduler.add_job(Order, {"trace": log}, interval=60)
    inline.run_due()
    inline.advance(60)
    inline.run_due()
    assert steps_in(log) == [(name, 1) for name in ("reserve", "charge", "ship") * 2]
    assert names(first) == ["reserve", "charge", "ship"]


def test_an_attempt_that_has_lost_its_job_ends_at_once(
    scheduler: Scheduler, inline: InlineNode, order: type[Job]
) -> None:
    done: list[Any] = []

    class Lost(order):  # type: ignore[misc, valid-type]
        name = f"lost_{order.name}"

        def done_at_once(self, name: str, result: Any) -> Any:
            scheduler.cancel_job(self.id)
            done.append(name)
            return result

        def tear_down(self, outcome: Any) -> Any:
            done.append(outcome.status)

        done = done_at_once

    process = scheduler.add_job(Lost, {"trace": "/dev/null"})
    inline.run_due()
    assert process.refresh().status is Status.CANCELED
    assert process.steps == []
    assert done[-1] is Status.WAITING
    assert "ship" not in done


def test_a_container_may_give_one_object_for_all_attempts(scheduler: Scheduler, log: str) -> None:
    class Same:
        made = Order()

        def get(self, _cls: type[Job]) -> Order:
            return self.made

    jobs = [scheduler.add_job(Order, {"trace": log, "fails_in": "ship"}, retry=1, retry_interval=0) for _ in range(2)]
    with InlineNode(scheduler, container=Same()) as node:
        node.run_until_idle()
    assert {job.refresh().status for job in jobs} == {Status.DONE}
    assert sorted(steps_in(log)) == sorted([("reserve", 1), ("charge", 1), ("ship", 1), ("ship", 2)] * 2)


# -- sleep ------------------------------------------------------------------------------------------------------------


def test_a_job_sleeps_without_a_slot_and_goes_on(
    scheduler: Scheduler, inline: InlineNode, log: str, order: type[Job]
) -> None:
    process = scheduler.add_job(order, {"trace": log, "sleep": 3 * A_DAY})
    inline.run_until_idle()
    assert process.refresh().status is Status.POSTPONED
    assert process.snoozes == 0
    assert process.why().code == "NOT_DUE"
    assert "it sleeps until" in process.why().text
    inline.advance(2 * A_DAY)
    assert inline.run_until_idle() == []
    inline.advance(A_DAY)
    inline.run_until_idle()
    assert process.refresh().status is Status.DONE
    assert [attempt["status"] for attempt in process.attempts] == [Status.POSTPONED, Status.DONE]
    assert steps_in(log)[-1] == ("ship", 2)
    assert len(steps_in(log)) == 3


def test_a_job_that_begins_early_sleeps_on(scheduler: Scheduler, inline: InlineNode, log: str) -> None:
    process = scheduler.add_job(Order, {"trace": log, "sleep": A_DAY})
    inline.run_until_idle()
    until = process.refresh().at
    scheduler.update_job(process.id, at=0)
    inline.run_until_idle()
    assert process.refresh().at == until
    assert process.attempt == 2
    assert len(steps_in(log)) == 2


def test_sleeps_are_told_apart(scheduler: Scheduler, inline: InlineNode) -> None:
    class Long(Job):
        def start(self) -> Any:
            self.sleep(hours=1)
            self.sleep(minutes=1, name="a moment")
            self.sleep(until=datetime.now(UTC) + timedelta(days=1))

    process = scheduler.add_job(Long, retry=1)
    for seconds in (3600, 60, A_DAY):
        inline.run_until_idle()
        assert process.refresh().status is Status.POSTPONED
        inline.advance(seconds)
    inline.run_until_idle()
    assert names(process) == ["sleep-1", "a moment", "sleep-2"]
    assert process.status is Status.DONE
    assert process.to_dict()["retries"] == 0


# -- signals ----------------------------------------------------------------------------------------------------------


def test_a_signal_before_the_job_waits(scheduler: Scheduler, inline: InlineNode, log: str, order: type[Job]) -> None:
    process = scheduler.add_job(order, {"trace": log, "waits": True})
    told = scheduler.signal(process.id, "approved", {"by": "Ada"})
    assert (told.won, told.value, told.timed_out) == (True, {"by": "Ada"}, False)
    inline.run_until_idle()
    assert process.refresh().result_value["approval"] == {"by": "Ada"}
    assert process.attempt == 1


def test_a_signal_while_the_job_waits(scheduler: Scheduler, inline: InlineNode, log: str, order: type[Job]) -> None:
    process = scheduler.add_job(order, {"trace": log, "waits": True})
    inline.run_until_idle()
    assert process.refresh().status is Status.POSTPONED
    assert process.why().code == "WAITING_FOR"
    assert process.why().text == 'it waits for the signal "approved"'
    inline.advance(100 * A_DAY)
    assert inline.run_until_idle() == []
    scheduler.signal(process.id, "other")
    assert inline.run_until_idle() == []
    assert scheduler.signal(process.id, "approved", 7).won
    inline.run_until_idle()
    assert process.refresh().result_value["approval"] == 7
    assert process.snoozes == 0


def test_a_signal_while_the_job_runs(scheduler: Scheduler, inline: InlineNode) -> None:
    class Told(Job):
        def start(self) -> Any:
            scheduler.signal(self.id, "approved", 1)
            return self.wait_for("approved")

    process = scheduler.add_job(Told)
    inline.run_until_idle()
    assert process.refresh().result_value == 1
    assert process.attempt == 1


def test_a_signal_while_the_job_ends_its_attempt_to_wait(scheduler: Scheduler, inline: InlineNode) -> None:
    class Late(Job):
        def start(self) -> Any:
            return self.wait_for("approved")

        def tear_down(self, outcome: Any) -> None:
            if outcome.status is Status.POSTPONED:
                assert scheduler.signal(self.id, "approved", 2).won

    process = scheduler.add_job(Late)
    inline.run_until_idle()
    assert process.refresh().result_value == 2
    assert process.attempt == 2


def test_a_signal_after_the_end(scheduler: Scheduler, inline: InlineNode, log: str) -> None:
    process = scheduler.add_job(Order, {"trace": log})
    scheduler.signal(process.id, "approved", 1)
    inline.run_until_idle()
    late = scheduler.signal(process.id, "approved", 2)
    assert (late.won, late.value) == (False, 1)
    with pytest.raises(InvalidStateError, match="is done; only a job that has not ended"):
        scheduler.signal(process.id, "other")
    with pytest.raises(JobNotFoundError):
        scheduler.signal(ObjectId(), "approved")
    with pytest.raises(InvalidOptionError, match="the name of a signal"):
        scheduler.signal(process.id, "")
    with pytest.raises(InvalidDataError, match="the value of signal 'x' cannot be stored"):
        scheduler.signal(process.id, "x", object())


def test_a_wait_that_times_out(scheduler: Scheduler, inline: InlineNode, log: str, order: type[Job]) -> None:
    process = scheduler.add_job(order, {"trace": log, "waits": True, "timeout": A_DAY, "fails_in": ""})
    inline.run_until_idle()
    assert '"approved", until' in process.refresh().why().text
    inline.advance(A_DAY - 60)
    assert inline.run_until_idle() == []
    inline.advance(60)
    inline.run_until_idle()
    assert process.refresh().result_value["approval"] == "timed out"
    late = scheduler.signal(process.id, "approved", 1)
    assert (late.won, late.value, late.timed_out) == (False, None, True)


def test_a_signal_after_the_time_and_before_the_attempt_is_in_time(
    scheduler: Scheduler, inline: InlineNode, log: str
) -> None:
    process = scheduler.add_job(Order, {"trace": log, "waits": True, "timeout": 60})
    inline.run_until_idle()
    inline.advance(60)
    assert scheduler.signal(process.id, "approved", 1).won
    inline.run_until_idle()
    assert process.refresh().result_value["approval"] == 1


def test_a_wait_of_no_time_looks_once(scheduler: Scheduler, inline: InlineNode, log: str) -> None:
    process = scheduler.add_job(Order, {"trace": log, "waits": True, "timeout": 0})
    inline.run_until_idle()
    assert process.refresh().result_value["approval"] == "timed out"
    assert process.attempt == 1


def test_a_signal_does_not_cut_the_pause_before_a_retry(scheduler: Scheduler, inline: InlineNode, log: str) -> None:
    class Failing(Job):
        def start(self) -> Any:
            if self.attempt == 2:
                raise OSError
            self.wait_for("approved")

    process = scheduler.add_job(Failing, retry=1, retry_interval=600)
    inline.run_due()
    scheduler.update_job(process.id, at=0)
    inline.run_due()
    assert scheduler.signal(process.id, "approved").won
    assert inline.run_until_idle() == []
    inline.advance(600)
    inline.run_until_idle()
    assert process.refresh().status is Status.DONE


def test_a_job_under_a_limit_holds_no_place_while_it_waits(scheduler: Scheduler, inline: InlineNode, log: str) -> None:
    scheduler.limits.set("x", concurrency=1)
    waiting = scheduler.add_job(Order, {"trace": log, "waits": True}, limits="x")
    inline.run_until_idle()
    other = scheduler.add_job(Order, {"trace": log}, limits="x")
    inline.run_until_idle()
    assert other.refresh().status is Status.DONE
    assert waiting.refresh().status is Status.POSTPONED
    scheduler.signal(waiting.id, "approved", 1)
    inline.run_until_idle()
    assert waiting.refresh().status is Status.DONE


def test_what_waits_is_counted(scheduler: Scheduler, inline: InlineNode, log: str) -> None:
    for more in ({"waits": True}, {"waits": True, "timeout": 60}, {"sleep": 60}):
        scheduler.add_job(Order, {"trace": log, **more})
    inline.run_until_idle()
    assert scheduler.why() == {"NOT_DUE": 1, "WAITING_FOR": 2}


# -- retry from a step ------------------------------------------------------------------------------------------------


def test_a_retry_keeps_steps_and_forgets_those_from_one_on(scheduler: Scheduler, inline: InlineNode, log: str) -> None:
    process = scheduler.add_job(Order, {"trace": log, "waits": True})
    scheduler.signal(process.id, "approved", 1)
    inline.run_until_idle()
    scheduler.retry_job(process.id)
    inline.run_until_idle()
    assert steps_in(log) == [("reserve", 1), ("charge", 1), ("ship", 1)]
    scheduler.retry_job(process.id, from_step="charge")
    inline.run_until_idle()
    assert process.refresh().status is Status.POSTPONED  # the signal was waited for after that step
    assert scheduler.signal(process.id, "approved", 2).won
    inline.run_until_idle()
    assert steps_in(log)[3:] == [("charge", 3), ("ship", 4)]
    assert process.refresh().result_value["approval"] == 2
    scheduler.retry_job(process.id, from_step="ship")
    inline.run_until_idle()
    assert process.refresh().result_value["approval"] == 2
    assert names(process) == ["reserve", "charge", "approved", "ship"]


def test_a_retry_from_the_first_step_or_an_unknown_one(scheduler: Scheduler, inline: InlineNode, log: str) -> None:
    process = scheduler.add_job(Order, {"trace": log})
    inline.run_until_idle()
    with pytest.raises(InvalidOptionError, match="no step 'chrage'; it has reserve, charge, ship; did you mean charge"):
        scheduler.retry_job(process.id, from_step="chrage")
    scheduler.retry_job(process.id, from_step="reserve")
    assert names(process) == []
    with pytest.raises(InvalidStateError):
        scheduler.retry_job(process.id, from_step="reserve")
    inline.run_until_idle()
    assert len(steps_in(log)) == 6
