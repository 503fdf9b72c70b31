"""Calling jobs like functions: which data and options are added, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.tables import table
from tests.unit.fakes import FakeScheduler

from taskscheduler.calls import Call, Calls, call, with_common
from taskscheduler.errors import InvalidArgumentsError, InvalidJobError, InvalidOptionError
from taskscheduler.jobs.functions import job
from taskscheduler.jobs.job import Job
from taskscheduler.model.job_errors import JobFailedError


class Mail(Job):
    name = "calls-unit-mail"


@job(name="calls-unit-resize")
def resize(name: str, width: int = 1, *, job: Any = None) -> None: ...


@pytest.fixture
def scheduler() -> FakeScheduler:
    return FakeScheduler()


# -- data -------------------------------------------------------------------------------------------------------------


@table(
    ("given", "args", "named", "data"),
    [
        (resize, ("a",), {}, ["a"]),
        (resize, ("a", 2), {}, ["a", 2]),
        (resize, (), {"name": "a"}, {"name": "a"}),
        (resize, ("a",), {"width": 2}, {"name": "a", "width": 2}),
        ("calls-unit-resize", ("a",), {"width": 2}, {"name": "a", "width": 2}),
        (Mail, (5,), {}, 5),
        (Mail, (), {"to": "a"}, {"to": "a"}),
        (Mail, (), {}, None),
        ("calls-unit-unknown", (1, 2), {}, [1, 2]),
        ("calls-unit-unknown", (), {"a": 1}, {"a": 1}),
        ("calls-unit-unknown", (), {}, None),
    ],
)
def test_arguments_become_the_data_of_the_job(given: Any, args: Any, named: Any, data: Any) -> None:
    assert call(given, *args, **named) == Call(given, data)


@table(
    ("given", "args", "named", "error"),
    [
        (resize, (), {}, InvalidArgumentsError),
        (resize, ("a",), {"height": 2}, InvalidArgumentsError),
        (resize, ("a",), {"job": 1}, InvalidArgumentsError),
        (Mail, (1, 2), {}, InvalidArgumentsError),
        (Mail, (1,), {"a": 1}, InvalidArgumentsError),
        ("calls-unit-unknown", (1,), {"a": 1}, InvalidArgumentsError),
        (int, (1,), {}, InvalidJobError),
    ],
)
def test_arguments_that_the_job_does_not_take_are_refused(
    given: Any, args: Any, named: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        call(given, *args, **named)


# -- options ----------------------------------------------------------------------------------------------------------


@table(
    ("entry", "with_options"),
    [
        (Mail, (Mail, None, {"retry": 3, "queue": "mail"})),
        ((Mail,), (Mail, None, {"retry": 3, "queue": "mail"})),
        ((Mail, 1), (Mail, 1, {"retry": 3, "queue": "mail"})),
        ((Mail, 1, {"retry": 5}), (Mail, 1, {"retry": 5, "queue": "mail"})),
        (Call(Mail, 1), (Mail, 1, {"retry": 3, "queue": "mail"})),
        ((), ()),
        ((1, 2, 3, 4), (1, 2, 3, 4)),
    ],
)
def test_the_options_of_a_job_of_a_batch_stand_above_the_common_ones(entry: Any, with_options: Any) -> None:
    assert with_common(entry, {"retry": 3, "queue": "mail"}) == with_options
    assert with_common(entry, {}) is entry


@pytest.mark.parametrize("options", [{"foobar": 1}, {"retry": "x"}])
def test_a_wrong_option_is_refused_before_anything_is_called(scheduler: FakeScheduler, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError):
        Calls(scheduler, options)
    with pytest.raises(InvalidOptionError):
        Calls(scheduler, None, options)


# -- calls ------------------------------------------------------------------------------------------------------------


def test_submit_adds_the_call_with_the_options(scheduler: FakeScheduler) -> None:
    process = Calls(scheduler, {"retry": 3}, {"queue": "mail"}).submit(resize, "a", width=2)
    assert scheduler.added == [(resize, {"name": "a", "width": 2}, {"retry": 3, "queue": "mail"})]
    assert not process.status.is_final


def test_run_returns_the_result_or_raises_the_error_of_the_job(scheduler: FakeScheduler) -> None:
    assert Calls(scheduler).run(Mail, 5) == 5
    with pytest.raises(JobFailedError):
        Calls(scheduler).run(Mail, "bad")


def test_a_batch_reports_each_job_and_the_progress(scheduler: FakeScheduler) -> None:
    ended: list[Any] = []
    steps: list[tuple[int, int]] = []
    succeeded = Calls(scheduler, {"retry": 1}).run_batch(
        [call(Mail, 1), Mail, (Mail, 2, {"retry": 2})], ended.append, lambda *step: steps.append(step)
    )
    assert succeeded is True
    assert [options for _, _, options in scheduler.added] == [{"retry": 1}, {"retry": 1}, {"retry": 2}]
    assert [process.status.is_final for process in ended] == [True] * 3
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_an_exception_of_a_callback_ends_the_wait(scheduler: FakeScheduler) -> None:
    def stop(process: Any) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        Calls(scheduler).run_batch([Mail, Mail], stop)


@pytest.mark.parametrize("name", ["callback", "progress"])
def test_callbacks_must_be_callable(scheduler: FakeScheduler, name: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"{name} must be callable, not int"):
        Calls(scheduler).run_batch([Mail], **{name: 5})  # type: ignore[arg-type]
    assert scheduler.added == []


@pytest.mark.parametrize("timeout", ["1", True])
def test_a_wrong_timeout_is_refused_before_anything_is_added(scheduler: FakeScheduler, timeout: Any) -> None:
    with pytest.raises(InvalidOptionError, match="timeout must be a number of seconds"):
        Calls(scheduler).run_batch([Mail], timeout=timeout)
    assert scheduler.added == []
