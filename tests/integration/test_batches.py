"""Batched runs without a node: what `start` gets, how each job ends, and what cannot be done in a batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import batching
from tests.support.jobs import traces

from taskscheduler import (
    InvalidArgumentsError,
    InvalidJobError,
    InvalidOptionError,
    Job,
    Process,
    Scheduler,
    Status,
    job,
)
from taskscheduler.testing import InlineNode

Run = Callable[..., list[Process]]


@pytest.fixture
def log(tmp_path: Path) -> str:
    return str(tmp_path / "trace")


@pytest.fixture
def run(scheduler: Scheduler, log: str) -> Run:
    """Adds jobs to which this happens, and runs what is due once."""

    def run_all(*happens: str | None, job: Any = batching.Gather, **options: Any) -> list[Process]:
        data = [{"trace": log, "n": number, "do": what} for number, what in enumerate(happens)]
        added = scheduler.add_jobs([(job, one, options) for one in data])
        with InlineNode(scheduler) as node:
            node.run_due()
        return [process.refresh() for process in added]

    return run_all


def sizes(log: str) -> list[int]:
    return [int(words[1]) for words in traces(log) if words[0] == "batch"]


def statuses(processes: list[Process]) -> list[str]:
    return [process.status.label for process in processes]


def test_a_batch_takes_as_many_jobs_as_are_due_and_fit(run: Run, log: str) -> None:
    processes = run(*[None] * 23)
    assert sizes(log) == [10, 10, 3]
    assert statuses(processes) == ["done"] * 23
    assert [process.batched for process in processes] == [10] * 20 + [3] * 3
    assert [words[2] for words in traces(log) if words[0] == "item"] == [str(number) for number in range(23)]


def test_one_is_failed_and_the_others_go_on(run: Run, log: str) -> None:
    one, bad, other = run("result", "fail", "result")
    assert statuses([one, bad, other]) == ["done", "failed", "done"]
    assert (one.result_value, bad.result_value, other.result_value) == (0, None, 2)
    assert bad.error == {"type": "JobFailure", "message": "this one is bad"}


def test_only_those_that_failed_are_tried_again(run: Run, scheduler: Scheduler, log: str) -> None:
    processes = run("fail_once", None, "fail_once", retry=1, retry_interval=0)
    assert statuses(processes) == ["waiting", "done", "waiting"]
    with InlineNode(scheduler) as node:
        node.run_due()
    assert sizes(log) == [3, 2]
    assert [process.refresh().attempt for process in processes] == [2, 1, 2]
    assert statuses(processes) == ["done"] * 3


def test_what_an_item_fails_with_decides_on_its_next_try(run: Run) -> None:
    later, never = run("retry", "discard", retry=3, retry_interval=3600)
    assert (later.status, later.attempts[0]["pause"]) == (Status.WAITING, 0) or later.status is Status.POSTPONED
    assert never.status is Status.FAILED
    assert never.error == {"type": "Discard", "message": "never again", "no_retry": "the job was discarded"}


def test_an_exception_ends_all_that_were_not_failed_one_by_one(run: Run) -> None:
    bad, first, last = run("fail", None, "raise")
    assert statuses([bad, first, last]) == ["failed"] * 3
    assert [process.error["type"] for process in (bad, first, last) if process.error] == ["JobFailure"] + [
        "OSError"
    ] * 2
    assert first.error is not None
    assert "batching.py" in first.error["place"]


def test_after_an_exception_each_is_tried_again_by_its_own_options(scheduler: Scheduler, log: str) -> None:
    data = {"trace": log, "do": "raise"}
    again = scheduler.add_job(batching.Gather, data, retry=1, retry_interval=600)
    over = scheduler.add_job(batching.Gather, data)
    with InlineNode(scheduler) as node:
        node.run_due()
    assert sizes(log) == [2]
    assert (again.refresh().status, over.refresh().status) == (Status.POSTPONED, Status.FAILED)


def test_a_snooze_puts_all_off(run: Run) -> None:
    processes = run(None, "snooze", None)
    assert statuses(processes) == ["postponed"] * 3
    assert [process.snoozes for process in processes] == [1] * 3


def test_progress_is_that_of_each(run: Run) -> None:
    assert [process.message for process in run(None, "progress")] == ["half of it"] * 2


@pytest.mark.parametrize("wrong", [[1], [1, 2, 3], 5, {"a": 1}])
def test_results_for_some_other_number_of_items_fail_all(scheduler: Scheduler, wrong: Any) -> None:
    processes = scheduler.add_jobs([(batching.WrongResults, wrong)] * 2)
    with InlineNode(scheduler) as node:
        node.run_due()
    for process in processes:
        assert process.refresh().status is Status.FAILED
        assert process.error is not None
        assert process.error["type"] == "InvalidDataError"
        assert "return None, or a list with one for each" in process.error["message"]


def test_a_result_that_cannot_be_stored_fails_its_job_alone(scheduler: Scheduler) -> None:
    @job(name="odd_results", batch=5)
    def odd_results(items: list[int]) -> list[Any]:
        return [object() if number == 1 else number for number in items]

    processes = scheduler.add_jobs([(odd_results, number) for number in range(3)])
    with InlineNode(scheduler) as node:
        node.run_due()
    assert statuses([process.refresh() for process in processes]) == ["done", "failed", "done"]


def test_functions_and_async_ones(scheduler: Scheduler) -> None:
    doubled = scheduler.add_jobs([(batching.add_up, number) for number in range(5)])
    both = scheduler.add_jobs([(batching.async_add_up, number) for number in range(5)])
    with InlineNode(scheduler) as node:
        node.run_due()
    assert [process.result() for process in doubled] == [0, 2, 4, 6, 8]
    assert [process.result() for process in both] == [{"double": 2 * number, "of": 5} for number in range(5)]
    assert batching.add_up([1, 2]) == [2, 4]  # it stays a function
    assert scheduler.submit(batching.add_up, 3).data == 3


def test_data_are_checked_item_by_item(scheduler: Scheduler, database: Any) -> None:
    with pytest.raises(InvalidArgumentsError, match="data must be int"):
        scheduler.add_job(batching.add_up, "three")
    good, bad = scheduler.add_jobs([(batching.add_up, 1), (batching.add_up, 2)])
    database["taskscheduler.jobs"].update_one({"_id": bad.id}, {"$set": {"data": "two"}})
    with InlineNode(scheduler) as node:
        node.run_due()
    assert (good.refresh().result_value, bad.refresh().status) == (2, Status.FAILED)
    assert bad.error is not None
    assert bad.error["type"] == "InvalidArgumentsError"


def test_a_job_that_was_added_by_name_alone_is_a_batch_of_one(scheduler: Scheduler, database: Any) -> None:
    processes = scheduler.add_jobs([(batching.add_up, number) for number in range(2)])
    database["taskscheduler.jobs"].update_many({}, {"$unset": {"batch": 1}})
    with InlineNode(scheduler) as node:
        node.run_due()
    assert [process.refresh().result_value for process in processes] == [0, 2]
    assert [process.batched for process in processes] == [None, None]


def test_what_belongs_to_one_job_is_refused_in_a_batch(scheduler: Scheduler) -> None:
    processes = scheduler.add_jobs([(batching.Misused, what) for what in ("step", "sleep", "wait", "commit", "flow")])
    with InlineNode(scheduler) as node:
        node.run_due()
    for process, what in zip(processes, ("steps", "sleep", "signals", "commit", "flow"), strict=True):
        said = process.refresh().result_value
        assert said.startswith(f"InvalidStateError: job misused runs in batches, and a batch has no {what}"), said


def test_hooks_and_tear_down(run: Run, log: str) -> None:
    processes = run(None, "fail", job=batching.ToldTogether)
    assert statuses(processes) == ["done", "failed"]
    assert [words for words in traces(log) if words[0] == "tear_down"] == [["tear_down", "done"]]
    told = {words[1]: words[2] for words in traces(log) if words[0] == "told"}
    assert told == {str(process.id): process.status.label for process in processes}


def test_a_tear_down_that_raises_fails_those_that_had_succeeded(run: Run) -> None:
    first, bad = run("tear_down", "fail", job=batching.ToldTogether)
    assert first.error is not None
    assert bad.error is not None
    assert (first.error["type"], bad.error["type"]) == ("OSError", "ValueError")


def test_queues_and_classes_do_not_mix(scheduler: Scheduler, log: str) -> None:
    scheduler.add_jobs([(batching.Gather, {"trace": log}, {"queue": queue}) for queue in ("a", "b", "a", "b", "a")])
    scheduler.add_jobs([(batching.SlowGather, {"trace": log}, {"queue": "a"})] * 2)
    with InlineNode(scheduler) as node:
        node.run_due()
    assert sorted(sizes(log)) == [2, 2, 3]


def test_jobs_of_a_sequence_and_under_a_limit_get_into_a_batch_when_they_are_admitted(
    scheduler: Scheduler, log: str
) -> None:
    scheduler.limits.set("two", 2)
    processes = scheduler.add_jobs([(batching.Gather, {"trace": log}, {"limits": "two"})] * 5)
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert sizes(log) == [2, 2, 1]
    assert {process.refresh().status for process in processes} == {Status.DONE}


def test_the_runs_of_an_interval_and_of_a_schedule_gather(scheduler: Scheduler, log: str) -> None:
    scheduler.add_jobs([(batching.Gather, {"trace": log}, {"interval": 60})] * 3)
    scheduler.schedules.add("nightly", batching.Gather, {"trace": log}, every=60)
    with InlineNode(scheduler) as node:
        node.run_due()
        node.advance(61)
        node.run_due()
    assert sizes(log) == [3, 4]


def test_the_shortest_timeout_counts_for_all(scheduler: Scheduler, log: str) -> None:
    @job(name="sleepy", batch=5)
    def sleepy(items: list[Any]) -> None:
        import time  # noqa: PLC0415 - of the job

        time.sleep(0.05)

    processes = scheduler.add_jobs([(sleepy, 1, {"timeout": 0.01}), (sleepy, 2)])
    with InlineNode(scheduler) as node:
        node.run_due()
    assert {process.refresh().status for process in processes} == {Status.TIMEOUT}


def test_show_and_the_fields_of_a_job_say_with_how_many_it_ran(run: Run, scheduler: Scheduler) -> None:
    run(None, None)
    first, _ = scheduler.get_jobs({"batched": 2})
    assert first.to_dict()["batch"] == {"size": 10, "wait": 0}


# -- mistakes ---------------------------------------------------------------------------------------------------------


def define(**body: Any) -> type[Job]:
    return type("Mistake", (Job,), {"name": "mistake", "start": lambda self, items: None, **body})


MISTAKES = [
    ({"batch": 0}, InvalidOptionError, "option batch must be between 1 and 1000, not 0"),
    ({"batch": "x"}, InvalidOptionError, "option batch must be an integer"),
    ({"batch": 5, "batch_wait": -1}, InvalidOptionError, "option batch_wait must be between 0 and"),
    ({"batch": 5, "batch_wait": 61}, InvalidOptionError, "option batch_wait must be between 0 and 60 seconds, not 61"),
    ({"batch_wait": 1}, InvalidOptionError, "option batch_wait needs option batch"),
    ({"batch_size": 5}, InvalidOptionError, "did you mean batch"),
    ({"batch": 5, "force_spawn": True}, InvalidOptionError, "option batch does not go with force_spawn"),
    ({"batch": 5, "solo": True}, InvalidOptionError, "option batch does not go with solo"),
    ({"batch": 5, "start": lambda self: None}, InvalidJobError, "so it must be start"),
]


@pytest.mark.parametrize(("body", "error", "text"), MISTAKES)
def test_a_class_with_a_wrong_option_is_refused(body: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        define(**body)


def test_a_function_with_a_wrong_option_is_refused() -> None:
    with pytest.raises(InvalidOptionError, match="option batch must be between"):
        job(batch=0)
    with pytest.raises(InvalidOptionError, match="needs option batch"):
        job(batch_wait=1)
    with pytest.raises(InvalidJobError, match="it must be a function"):

        @job(name="two_arguments", batch=5)
        def two_arguments(one: Any, other: Any) -> None: ...


def test_no_single_job_and_no_service_has_the_option(scheduler: Scheduler) -> None:
    with pytest.raises(InvalidOptionError, match="option batch belongs to a job class"):
        scheduler.add_job("echo", 1, batch=5)
    with pytest.raises(InvalidOptionError, match="option batch_wait belongs to a job class"):
        scheduler.add_jobs([("echo", 1, {"batch_wait": 5})])
    with pytest.raises(InvalidJobError, match="runs in batches and cannot be a service"):
        scheduler.start_service(batching.Gather)
    from taskscheduler import Service  # noqa: PLC0415 - defined below

    with pytest.raises(InvalidOptionError, match="a service has no option batch"):
        type("Bad", (Service,), {"batch": 5})


def test_a_job_with_a_worker_of_its_own_does_not_gather(run: Run, log: str) -> None:
    run(None, None, force_spawn=True)
    assert sizes(log) == [1, 1]
