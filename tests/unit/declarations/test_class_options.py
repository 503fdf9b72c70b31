"""Job options on classes and in decorators: which attributes are options, and what is refused at import."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from typing import Any, ClassVar

import pytest
from tests.support.tables import table

from taskscheduler import InvalidOptionError, Job, Service, job, schedule
from taskscheduler.declarations.registry import JobSpec
from taskscheduler.declarations.schedules import SCHEDULES
from taskscheduler.model.options import JobOptions, SchedulerOptions
from taskscheduler.model.services import split
from taskscheduler.operations.job_request import JobRequest

#: a value for each option that a class may have
VALUES: dict[str, Any] = {
    "at": timedelta(minutes=1),
    "interval": 60,
    "interval_reference": "start",
    "retry": 3,
    "retry_interval": timedelta(seconds=5),
    "backoff": [1, 5],
    "retry_interval_max": timedelta(hours=1),
    "jitter": 0.5,
    "retry_for": 600,
    "start_by": 60,
    "timeout": 60,
    "silence_timeout": 30,
    "force_spawn": True,
    "ignore_data": True,
    "dedupe": True,
    "queue": "mail",
    "priority": 7,
    "tags": ["nightly"],
}


def a_class(base: type[Job] = Job, **body: Any) -> type[Job]:
    """A job class with these attributes."""
    return type("Made", (base,), {"__module__": __name__, **body})


def spec_of(declared: Any) -> JobSpec:
    spec = declared.__job__
    assert isinstance(spec, JobSpec)
    return spec


def added(declared: Any, asked: dict[str, Any] | None = None, **scheduler: Any) -> JobOptions:
    """The options of a job that is added."""
    return JobRequest.of(declared, None, asked or {}, SchedulerOptions.of(scheduler).job_defaults()).options


@table("name", VALUES)
def test_every_option_may_stand_on_the_class_and_in_the_decorator(name: str) -> None:
    def work() -> None: ...

    async def async_work() -> None: ...

    expected = getattr(JobOptions.of({name: VALUES[name]}), name)
    for declared in (a_class(**{name: VALUES[name]}), job(**{name: VALUES[name]})(work), job(**VALUES)(async_work)):
        assert getattr(added(declared), name) == expected


def test_options_of_windows_may_stand_there_as_well() -> None:
    """Beside others they exclude each other."""
    chosen: dict[str, Any] = {"unique_key": "k", "debounce": 5, "debounce_max": timedelta(minutes=1)}
    assert added(a_class(**chosen)) == JobOptions(unique_key="k", debounce=5, debounce_max=60)
    assert added(a_class(unique_for=timedelta(minutes=5))).unique_for == 300
    assert added(a_class(unique_key="k")) == JobOptions(unique_key="k")
    assert added(a_class(**chosen), {"debounce": 0}).debounce == 0
    with pytest.raises(InvalidOptionError, match="the job class Made: options debounce and at exclude each other"):
        a_class(debounce=5, at=timedelta(minutes=1))
    with pytest.raises(InvalidOptionError, match="options debounce and at exclude each other"):
        added(a_class(debounce=5), {"at": timedelta(minutes=1)})


def test_options_of_the_class_stand_between_those_of_the_call_and_of_the_scheduler() -> None:
    made = a_class(retry=3)
    assert added(made, default_retry=9, default_timeout=5) == JobOptions(retry=3, timeout=5)
    assert added(made, {"retry": 1}, default_retry=9).retry == 1
    assert added(made, {"retry": 0}, default_retry=9).retry == 0


def test_a_class_without_options_has_those_of_the_scheduler_itself() -> None:
    defaults = JobOptions.of({"retry": 2})
    assert JobRequest.of(a_class(), None, {}, defaults).options is defaults


def test_new_defaults_of_the_scheduler_count_at_once() -> None:
    made = a_class(retry=3)
    assert [added(made, default_timeout=seconds).timeout for seconds in (5, 6, 5)] == [5, 6, 5]


def test_options_are_inherited_and_overridden_like_any_attribute() -> None:
    class Patient:
        timeout = 600

    base = a_class(retry=3, queue="mail")
    heir = type("Heir", (Patient, base), {"__module__": __name__, "retry": 0})
    assert spec_of(heir).options == {"retry": 0, "queue": "mail", "timeout": 600}


def test_annotations_change_nothing_about_an_option() -> None:
    class Annotated(Job):
        retry: int = 3
        timeout: ClassVar[float] = 5.5
        queue: str

    assert spec_of(Annotated).options == {"retry": 3, "timeout": 5.5}


def test_what_is_no_value_is_an_attribute_of_the_class() -> None:
    class Own(Job):
        id = None  # type: ignore[assignment]

        class queue: ...  # noqa: N801

        def at(self) -> None: ...

        @property
        def tags(self) -> list[str]:
            raise AssertionError("an import runs no code of the class")

        @cached_property
        def priority(self) -> None: ...

        @staticmethod
        def retry() -> None: ...

        @classmethod
        def timeout(cls) -> None: ...

    assert spec_of(Own).options == {}


@table(
    ("name", "value", "problem"),
    [
        ("retry", "3", "option retry must be an integer"),
        ("retry", True, "option retry must be an integer"),
        ("timeout", None, "option timeout must be an integer, a float or a timedelta"),
        ("at", 60, "option at must be a plausible unix time"),
        ("queue", "No Queue", "option queue must be a name of lowercase letters"),
        ("tags", "nightly", "option tags must be a list of texts"),
        ("id", "0" * 24, "option id belongs to a single job; give it where the job is added"),
        ("parent", "0" * 24, "option parent belongs to a single job"),
    ],
)
def test_a_wrong_value_is_refused_at_import(name: str, value: Any, problem: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"the job class Made: {problem}"):
        a_class(**{name: value})
    with pytest.raises(InvalidOptionError, match=problem):
        job(**{name: value})


@table(
    ("name", "meant"),
    [
        ("retires", "retry"),
        ("retries", "retry"),
        ("timeouts", "timeout"),
        ("time_out", "timeout"),
        ("prioriti", "priority"),
        ("retry_intervall", "retry_interval"),
        ("interval_referenc", "interval_reference"),
    ],
)
def test_an_unknown_option_is_refused_with_the_near_miss(name: str, meant: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"Made: invalid option {name} given; did you mean {meant}?"):
        a_class(**{name: VALUES[meant]})
    with pytest.raises(InvalidOptionError, match=f"^invalid option {name} given"):
        job(**{name: VALUES[meant]})


@table(
    "own",
    [
        {"url": "x", "rate": 3, "model": "x", "path": "/x", "target": 1, "status": 0},
        {"_retries": 3, "__retry": 3},
        {"TIMEOUT": 30, "Retry": 3, "RETRIES": 3},
        {"internal": True},
        {"queues": ["a"]},
        {"timeouts": (1, 2)},
        {"retries": "three"},
        {"progress_target": 3},
    ],
)
def test_attributes_of_its_own_stay(own: dict[str, Any]) -> None:
    assert spec_of(a_class(**own)).options == {}


def test_an_annotation_keeps_an_attribute_that_is_named_like_an_option() -> None:
    class Annotated(Job):
        retries: int = 3

    class Heir(Annotated):
        pass

    assert spec_of(Heir).options == {}


# -- services ---------------------------------------------------------------------------------------------------------


def test_options_of_a_service_may_stand_on_its_class() -> None:
    made = a_class(Service, restart="on-failure", stop_soft=1, timeout=60, tags=["feed"])
    service, of_job = split("feed", {"stop_soft": 2}, spec_of(made).options)
    assert (service.restart, service.stop_soft, service.name) == ("on-failure", 2, "feed")
    assert (of_job["timeout"], of_job["tags"], of_job["retry"]) == (60, ("feed",), 0)


@table("name", ["retry", "interval", "dedupe", "at", "force_spawn"])
def test_a_service_refuses_options_of_other_jobs(name: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"Made: a service has no option {name}; it takes restart, "):
        a_class(Service, **{name: VALUES[name]})


@pytest.mark.parametrize(("name", "value"), [("restart", "sometimes"), ("stop_hard", "5"), ("restart_intervall", 5)])
def test_wrong_options_of_a_service_are_refused_at_import(name: str, value: Any) -> None:
    with pytest.raises(InvalidOptionError, match="the job class Made: "):
        a_class(Service, **{name: value})


def test_a_plain_job_that_runs_as_a_service_keeps_what_applies_to_services() -> None:
    made = a_class(retry=3, interval=60, dedupe=True, queue="feeds", timeout=9)
    _, of_job = split("feed", {}, spec_of(made).options)
    options = JobRequest.of(made, None, of_job, JobOptions(), serves=True).options
    assert options == JobOptions(queue="feeds", timeout=9, force_spawn=True)


def test_decorated_functions_take_their_options_before_anything_is_registered() -> None:
    def work() -> None: ...

    decorate: Callable[..., Any] = job
    with pytest.raises(InvalidOptionError, match="option retry must be an integer"):
        decorate(name="never-registered", retry="3")(work)
    assert not hasattr(work, "__job__")


# -- which exceptions -------------------------------------------------------------------------------------------------


def test_the_exceptions_stand_on_the_class_and_in_the_decorator() -> None:
    def work() -> None: ...

    base = a_class(retry_on=(OSError, ValueError), discard_on=FileNotFoundError)
    heir = type("Heir", (base,), {"__module__": __name__, "discard_on": ()})
    decorated = job(retry_on=[OSError, ValueError], discard_on=FileNotFoundError)(work)
    for declared in (base, decorated):
        assert spec_of(declared).rules == ((OSError, ValueError), (FileNotFoundError,))
    assert spec_of(heir).rules == ((OSError, ValueError), ())
    assert spec_of(a_class()).rules == ((), ())
    assert spec_of(base).options == {}


@table("value", ["OSError", lambda self, error: True, property(lambda self: ()), int])
def test_whatever_else_has_such_a_name_is_refused(value: Any) -> None:
    with pytest.raises(InvalidOptionError, match="the job class Made: option retry_on must be exception classes"):
        a_class(retry_on=value)


def test_a_service_has_no_exceptions_and_a_mistyped_name_is_seen() -> None:
    with pytest.raises(InvalidOptionError, match="a service has no option discard_on; its option restart decides"):
        a_class(Service, discard_on=OSError)
    with pytest.raises(InvalidOptionError, match="invalid option retryon given; did you mean retry_on"):
        a_class(retryon=(OSError,))


def test_options_of_a_class_that_do_not_fit_together_are_refused_at_import() -> None:
    with pytest.raises(InvalidOptionError, match="the job class Made: option backoff has a pause of 90 seconds"):
        a_class(backoff=[90], retry_interval_max=60)
    with pytest.raises(InvalidOptionError, match="option backoff has a pause of 90 seconds"):
        job(backoff=[90], retry_interval_max=60)


def test_a_schedule_of_a_class_keeps_its_jitter_and_the_class_that_of_its_retries() -> None:
    made = schedule(every=3600, jitter=30)(a_class(jitter=0.5))
    declared = next(one for one in SCHEDULES.all() if one.job == spec_of(made).name)
    assert (declared.times["jitter"], declared.options["jitter"]) == (30, 0.5)
