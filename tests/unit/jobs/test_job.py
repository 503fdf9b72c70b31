"""Jobs as users write them: how they are named and registered, and how functions get their data."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from bson import ObjectId

from taskscheduler.errors import InvalidJobError, SchedulerError
from taskscheduler.jobs.job import (
    REGISTRY,
    AsyncFunctionJob,
    FunctionJob,
    Job,
    has_notification,
    job,
    job_class,
    job_name,
)
from taskscheduler.jobs.service import Service
from taskscheduler.model.lifecycle import Status

HERE = "tests.unit.test_job"


class Plain(Job):
    def start(self) -> str:
        return "plain"


class Named(Job):
    name = "unit-named"


class Inheriting(Named):
    pass


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
    """What a worker does with a `@job` function."""
    instance = job_class(function)
    assert instance is not None
    made = instance()
    made.data, made.id, made.attempt = data, ObjectId(), 7
    return made.start()


# -- names and the registry -------------------------------------------------------------------------------------------


def test_a_job_is_named_after_its_module_and_class_unless_it_says_otherwise() -> None:
    assert Plain.name == f"{Plain.__module__}.Plain"
    assert Named.name == "unit-named"


def test_a_nested_class_has_its_qualified_name() -> None:
    class Nested(Job):
        pass

    assert Nested.name.endswith("test_a_nested_class_has_its_qualified_name.<locals>.Nested")


def test_a_subclass_does_not_inherit_the_name() -> None:
    assert Inheriting.name == f"{Inheriting.__module__}.Inheriting"


@pytest.mark.parametrize("cls", [Plain, Named, Inheriting])
def test_a_subclass_is_registered_under_its_name(cls: type[Job]) -> None:
    assert REGISTRY.find(cls.name) is cls
    assert cls.name in REGISTRY.names()


def test_the_registry_never_imports_what_it_does_not_know() -> None:
    assert REGISTRY.find("wsgiref.simple_server.WSGIServer") is None
    assert REGISTRY.find("") is None
    assert "wsgiref.simple_server" not in sys.modules


def test_the_base_classes_are_no_jobs() -> None:
    bases = [cls.name for cls in (FunctionJob, AsyncFunctionJob, Service)]
    assert [name for name in bases if REGISTRY.find(name) is not None] == []
    assert REGISTRY.find("") is None
    assert REGISTRY.find("taskscheduler.jobs.job.Job") is None


def test_a_name_can_be_taken_only_once() -> None:
    with pytest.raises(InvalidJobError, match=r"the job name 'unit-named' is taken by .*\.Named; give .*Thief another"):
        type("Thief", (Job,), {"name": "unit-named", "__module__": __name__})
    assert REGISTRY.find("unit-named") is Named


def test_a_module_that_is_imported_again_takes_its_names_over() -> None:
    first = type("Reloaded", (Job,), {"name": "unit-reloaded", "__module__": "somewhere"})
    second = type("Reloaded", (Job,), {"name": "unit-reloaded", "__module__": "somewhere"})
    assert first is not second
    assert REGISTRY.find("unit-reloaded") is second


@pytest.mark.parametrize("name", ["", None, 5, b"x"])
def test_a_name_must_be_a_text(name: Any) -> None:
    with pytest.raises(InvalidJobError, match="the name of the job class Odd must be a text that is not empty"):
        type("Odd", (Job,), {"name": name, "__module__": "somewhere"})


def main_module(**attributes: Any) -> ModuleType:
    module = ModuleType("__main__")
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


class Spec:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.parametrize(
    ("module", "prefix"),
    [
        (main_module(__spec__=Spec("myapp.jobs")), "myapp.jobs"),
        (main_module(__spec__=Spec("myapp.__main__")), "myapp"),
        (main_module(__spec__=None, __file__="/srv/app/runjobs.py"), "runjobs"),
        (main_module(__spec__=None), "__main__"),
    ],
)
def test_a_job_of_a_script_has_the_name_that_a_node_imports_it_by(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, prefix: str
) -> None:
    monkeypatch.setitem(sys.modules, "__main__", module)
    made: type[Job] = type("Mine", (Job,), {"__module__": "__main__", "__qualname__": f"Of{abs(hash(prefix))}"})
    assert made.name == f"{prefix}.{made.__qualname__}"


# -- functions --------------------------------------------------------------------------------------------------------


def test_a_function_job_stays_an_ordinary_function() -> None:
    assert bare(3) == 3
    assert bare.__name__ == "bare"
    assert bare.__doc__ == "Says something about itself."


@pytest.mark.parametrize(
    ("function", "name"), [(bare, f"{__name__}.bare"), (named, "unit-function"), (called, f"{__name__}.called")]
)
def test_a_function_is_registered_under_its_name(function: Any, name: str) -> None:
    assert job_name(function) == name
    assert REGISTRY.find(name) is job_class(function)
    assert issubclass(REGISTRY.find(name) or object, FunctionJob)


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


@pytest.mark.parametrize(
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


# -- what add_job takes -----------------------------------------------------------------------------------------------


def test_a_job_is_given_as_class_function_or_name() -> None:
    assert job_name(Named) == "unit-named"
    assert job_name(named) == "unit-function"
    assert job_name("any name") == "any name"


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (Job, "class Job"),
        (FunctionJob, "class FunctionJob"),
        (int, "class int"),
        (len, "builtin_function_or_method <built-in function len>"),
        (None, "NoneType None"),
        (5, "int 5"),
        (b"mail", "bytes b'mail'"),
    ],
)
def test_anything_else_is_no_job(given: Any, what: str) -> None:
    with pytest.raises(InvalidJobError) as caught:
        job_name(given)
    assert str(caught.value) == (
        f"{what} is not a job: give a subclass of Job, a function decorated with @job or a name"
    )
    assert isinstance(caught.value, TypeError)


def test_an_instance_of_a_job_is_no_job() -> None:
    with pytest.raises(InvalidJobError, match="is not a job"):
        job_name(Plain())


def test_the_empty_name_is_no_job() -> None:
    with pytest.raises(InvalidJobError, match="the name of a job must not be empty"):
        job_name("")


def test_the_class_behind_a_name_is_known_only_if_it_is_registered() -> None:
    assert job_class("unit-named") is Named
    assert job_class("unit-unheard-of") is None


# -- the running job --------------------------------------------------------------------------------------------------


class Recorder:
    """Stands in for a worker."""

    def __init__(self) -> None:
        self.reports: list[tuple[float | None, str | None]] = []

    def report(self, progress: float | None, message: str | None) -> None:
        self.reports.append((progress, message))

    def scheduler(self) -> Any:
        return "the scheduler"

    def async_scheduler(self) -> Any:
        return "the async scheduler"

    def interruption(self) -> Status:
        return Status.WAITING


def test_a_job_without_start_fails_with_its_name() -> None:
    with pytest.raises(InvalidJobError, match=r"job unit-named does not define start\(\)"):
        Named().start()


def test_progress_is_passed_on_rounded() -> None:
    made, worker = Plain(), Recorder()
    made._runtime = worker
    made.update_progress(33.333333, message="a third")
    made.update_progress()
    made.update_progress(0)
    made.update_progress(100)
    assert worker.reports == [(33.33, "a third"), (None, None), (0.0, None), (100.0, None)]


@pytest.mark.parametrize("value", [-0.001, 100.001, float("nan"), float("inf"), True, "50"])
def test_progress_outside_of_0_to_100_is_refused(value: Any) -> None:
    made, worker = Plain(), Recorder()
    made._runtime = worker
    with pytest.raises(ValueError, match="progress may only be between 0 to 100"):
        made.update_progress(value)
    assert worker.reports == []


def test_the_message_of_a_progress_is_a_text() -> None:
    with pytest.raises(TypeError, match="the message of a progress must be a text, not int"):
        Plain().update_progress(1, message=5)  # type: ignore[arg-type]


def test_progress_outside_of_a_worker_goes_nowhere() -> None:
    Plain().update_progress(50, "nobody listens")


def test_a_job_has_a_scheduler_only_while_it_runs() -> None:
    made = Plain()
    with pytest.raises(SchedulerError, match="only while a worker runs it"):
        _ = made.scheduler
    made._runtime = Recorder()
    assert str(made.scheduler) == "the scheduler"


def test_a_class_that_overrides_notification_wants_to_be_told() -> None:
    class Told(Job):
        def notification(self, status: Any, process: Any) -> None:
            return None

    class Heir(Told):
        pass

    assert has_notification(Told)
    assert has_notification(Heir)
    assert not has_notification(Plain)
    assert not has_notification(job_class(bare))
    assert not has_notification(None)


def test_a_name_that_is_given_to_the_decorator_itself_is_refused_with_the_cure() -> None:
    with pytest.raises(InvalidJobError, match=r"@job is for functions, not for 'mail'; a name is given as @job\(name="):
        job("mail")  # type: ignore[call-overload]


def test_a_job_that_yields_is_refused_since_nothing_of_it_would_run() -> None:
    def steps() -> Any:
        yield 1

    async def steps_async() -> Any:
        yield 1

    for function in (steps, steps_async):
        with pytest.raises(InvalidJobError, match=rf"{function.__name__} yields, so nothing would run"):
            job(function)
        with pytest.raises(InvalidJobError, match="job steps yields, so nothing would run; let it return its result"):
            type("Steps", (Job,), {"name": "steps", "start": function})


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


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(InvalidJobError, match=r"a lambda has no name to be found by, .*: @job\(name=...\)"):
        job(lambda: None)
    assert job_name(job(name="unit-lambda")(lambda: None)) == "unit-lambda"
