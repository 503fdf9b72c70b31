"""Functions as jobs: how they are named, and how data become their arguments."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.declarations.registry import REGISTRY, job_name
from taskscheduler.errors import InvalidJobError
from taskscheduler.jobs.functions import FunctionJob, job
from taskscheduler.jobs.job import Job


@job
def bare(a: int = 0) -> int:
    """Says something about itself."""
    return a


@job(name="unit-function")
def named(a: int) -> int:
    return a


@job()
def called() -> None:
    return None


def run(function: Any, data: Any) -> Any:
    """Does what a worker does with a `@job` function."""
    _, spec = REGISTRY.resolve(function)
    assert spec is not None
    made = spec.cls()
    made.data, made.id, made.attempt = data, ObjectId(), 7
    return made.start()


def test_a_function_job_stays_an_ordinary_function() -> None:
    assert bare(3) == 3
    assert bare.__name__ == "bare"
    assert bare.__doc__ == "Says something about itself."


@pytest.mark.parametrize(
    ("function", "name"), [(bare, f"{__name__}.bare"), (named, "unit-function"), (called, f"{__name__}.called")]
)
def test_a_function_is_registered_under_its_name(function: Any, name: str) -> None:
    assert job_name(function) == name
    spec = REGISTRY.find(name)
    assert spec is not None
    assert issubclass(spec.cls, FunctionJob)
    assert REGISTRY.resolve(function) == (name, spec)


def test_two_functions_cannot_have_the_same_name() -> None:
    def other() -> None:
        return None

    with pytest.raises(InvalidJobError, match="the job name 'unit-function' is taken"):
        job(name="unit-function")(other)


@job
def collect(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


@job
def pair(a: Any, b: Any = "b") -> Any:
    return a, b


@job
def with_job(a: Any = None, *, job: Job) -> Any:
    return a, job.attempt


@job
def positional_job(job: Any) -> Any:
    return job


@job
def nothing() -> str:
    return "ran"


@table(
    ("function", "data", "returned"),
    [
        (collect, {"a": 1, "b": 2}, ((), {"a": 1, "b": 2})),
        (collect, [1, 2], ((1, 2), {})),
        (collect, None, ((), {})),
        (collect, "text", (("text",), {})),
        (collect, {}, ((), {})),
        (collect, [], ((), {})),
        (collect, 0, ((0,), {})),
        (pair, {"a": 1}, (1, "b")),
        (pair, {"a": 1, "b": 2}, (1, 2)),
        (pair, [1, 2], (1, 2)),
        (pair, [1], (1, "b")),
        (pair, 5, (5, "b")),
        (pair, {"other": 1}, ({"other": 1}, "b")),
        (pair, [1, 2, 3], ([1, 2, 3], "b")),
        (pair, None, (None, "b")),
        (with_job, {"a": 1}, (1, 7)),
        (with_job, [1], (1, 7)),
        (with_job, None, (None, 7)),
        (with_job, 5, (5, 7)),
        (positional_job, 5, 5),
        (positional_job, {"job": 6}, 6),
        (nothing, None, "ran"),
        (nothing, {}, "ran"),
        (nothing, [], "ran"),
    ],
)
def test_the_data_become_the_arguments_of_the_function(function: Any, data: Any, returned: Any) -> None:
    assert run(function, data) == returned


def test_data_that_fit_no_parameter_are_an_error_of_the_job() -> None:
    with pytest.raises(TypeError):
        run(nothing, 5)


def test_a_type_error_inside_the_function_is_not_taken_for_a_wrong_call() -> None:
    calls = []

    @job
    def broken(**data: Any) -> None:
        calls.append(data)
        raise TypeError("from inside")

    with pytest.raises(TypeError, match="from inside"):
        run(broken, {"a": 1})
    assert calls == [{"a": 1}]


def test_a_name_that_is_given_to_the_decorator_itself_is_refused_with_the_cure() -> None:
    with pytest.raises(InvalidJobError, match=r"@job is for functions, not for 'mail'; a name is given as @job\(name="):
        job("mail")  # type: ignore[call-overload]


def test_only_functions_become_jobs() -> None:
    class Mail(Job):
        def start(self) -> None: ...

    with pytest.raises(InvalidJobError, match=r"not for the class .*Mail; a Job needs no decorator"):
        job(Mail)
    for other in (len, Mail().start):
        with pytest.raises(InvalidJobError, match=r"@job is for functions, not for <.*; let a function call it"):
            job(other)
    with pytest.raises(InvalidJobError, match="must be a text that is not empty"):
        job(name="")(lambda: None)


def test_a_function_that_yields_is_refused_since_nothing_of_it_would_run() -> None:
    def steps() -> Any:
        yield 1

    async def steps_async() -> Any:
        yield 1

    for function in (steps, steps_async):
        with pytest.raises(InvalidJobError, match=rf"{function.__name__} yields, so nothing would run"):
            job(function)


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(InvalidJobError, match=r"a lambda has no name to be found by, .*: @job\(name=...\)"):
        job(lambda: None)
    assert job_name(job(name="unit-lambda")(lambda: None)) == "unit-lambda"
