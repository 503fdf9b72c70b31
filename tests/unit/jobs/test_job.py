"""Jobs as users write them: how they are named and registered, and what a running one may ask for."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.errors import InvalidJobError, SchedulerError
from taskscheduler.jobs.job import Job
from taskscheduler.model.lifecycle import Status


class Plain(Job):
    def start(self) -> str:
        return "plain"


class Named(Job):
    name = "unit-named"


class Inheriting(Named):
    pass


# -- names ------------------------------------------------------------------------------------------------------------


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
    spec = REGISTRY.find(cls.name)
    assert spec is not None
    assert spec.cls is cls
    assert cls.name in REGISTRY.names()


@table("name", ["", None, 5, b"x"])
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


def test_a_job_that_yields_is_refused_since_nothing_of_it_would_run() -> None:
    def steps() -> Any:
        yield 1

    async def steps_async() -> Any:
        yield 1

    for function in (steps, steps_async):
        with pytest.raises(InvalidJobError, match="job steps yields, so nothing would run; let it return its result"):
            type("Steps", (Job,), {"name": "steps", "start": function})


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

    def attempt(self) -> Any:
        return None


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


@table("value", [-0.001, 100.001, float("nan"), float("inf"), True, "50"])
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
