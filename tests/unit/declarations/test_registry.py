"""JobSpec and the registry: what is known about a job, and what may be given as one."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler.declarations.registry import REGISTRY, JobSpec, Registry, is_job, job_name
from taskscheduler.errors import InvalidArgumentsError, InvalidJobError
from taskscheduler.jobs.functions import AsyncFunctionJob, FunctionJob, job
from taskscheduler.jobs.job import Job
from taskscheduler.jobs.service import Service


class Mail(Job):
    name = "registry-mail"
    data: int


class Feed(Service):
    name = "registry-feed"


class Lonely(Job):
    name = "registry-lonely"
    solo = "mailbox"


class Notifying(Job):
    def notification(self, status: Any, process: Any) -> None:
        return None


class Heir(Notifying):
    pass


@job(name="registry-resize")
def resize(name: str) -> None: ...


@job(name="registry-fetch")
async def fetch(url: str) -> None: ...


def spec_of(given: Any) -> JobSpec:
    spec = REGISTRY.resolve(given)[1]
    assert spec is not None
    return spec


# -- names ------------------------------------------------------------------------------------------------------------


def test_the_registry_never_imports_a_name_it_does_not_know() -> None:
    assert REGISTRY.find("poplib.POP3") is None
    assert REGISTRY.find("") is None
    assert "poplib" not in sys.modules


def test_the_base_classes_are_no_jobs() -> None:
    bases = [cls.name for cls in (FunctionJob, AsyncFunctionJob, Service)]
    assert [name for name in bases if REGISTRY.find(name) is not None] == []
    assert REGISTRY.find("taskscheduler.jobs.job.Job") is None


def test_a_registry_holds_one_job_for_each_name_in_order() -> None:
    registry = Registry()
    for given in (resize, Mail, resize):
        registry.add(spec_of(given))
    assert registry.names() == ["registry-mail", "registry-resize"]
    assert registry.find("registry-mail") is spec_of(Mail)


def test_a_name_can_be_taken_only_once() -> None:
    with pytest.raises(InvalidJobError, match=r"the job name 'registry-mail' is taken by .*\.Mail; give .*Thief anoth"):
        type("Thief", (Job,), {"name": "registry-mail", "__module__": __name__})
    assert REGISTRY.find("registry-mail") is spec_of(Mail)


def test_a_module_that_is_imported_again_takes_its_names_over() -> None:
    first, second = (type("Again", (Job,), {"name": "registry-again", "__module__": "somewhere"}) for _ in range(2))
    assert first is not second
    assert spec_of("registry-again").cls is second


# -- what may be given as a job ---------------------------------------------------------------------------------------


def test_a_job_is_given_as_a_class_a_function_or_a_name() -> None:
    assert REGISTRY.resolve(Mail) == ("registry-mail", REGISTRY.find("registry-mail"))
    assert REGISTRY.resolve(resize) == ("registry-resize", REGISTRY.find("registry-resize"))
    assert REGISTRY.resolve("registry-mail") == REGISTRY.resolve(Mail)
    assert job_name("any name") == "any name"


def test_a_name_that_is_not_known_here_has_no_spec() -> None:
    assert REGISTRY.resolve("registry-unheard-of") == ("registry-unheard-of", None)
    assert not REGISTRY.is_async("registry-unheard-of")
    assert not REGISTRY.has_hook("registry-unheard-of")


@table(
    ("given", "what"),
    [
        (Job, "class Job"),
        (Service, "class Service"),
        (FunctionJob, "class FunctionJob"),
        (int, "class int"),
        (len, "builtin_function_or_method <built-in function len>"),
        (None, "NoneType None"),
        (5, "int 5"),
        (b"mail", "bytes b'mail'"),
    ],
)
def test_anything_else_is_no_job(given: Any, what: str) -> None:
    assert not is_job(given)
    with pytest.raises(InvalidJobError) as caught:
        job_name(given)
    assert str(caught.value) == (
        f"{what} is not a job: give a subclass of Job, a function decorated with @job or a name"
    )
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("cls", [Mail, Feed])
def test_an_instance_of_a_job_is_no_job(cls: type[Job]) -> None:
    assert is_job(cls)
    assert not is_job(cls())
    with pytest.raises(InvalidJobError, match="is not a job"):
        job_name(cls())


def test_the_empty_name_is_no_job() -> None:
    with pytest.raises(InvalidJobError, match="the name of a job must not be empty"):
        job_name("")


# -- what is known about a job ----------------------------------------------------------------------------------------


def test_a_spec_knows_how_its_job_runs() -> None:
    known = {given: spec_of(given) for given in (Mail, Feed, resize, fetch)}
    assert [spec.is_async for spec in known.values()] == [False, False, False, True]
    assert [spec.is_service for spec in known.values()] == [False, True, False, False]
    assert [spec.cls for spec in known.values()][:2] == [Mail, Feed]
    assert [issubclass(spec.cls, FunctionJob) for spec in known.values()] == [False, False, True, True]
    assert (REGISTRY.is_async("registry-fetch"), REGISTRY.is_async("registry-mail")) == (True, False)


def test_an_heir_has_a_spec_of_its_own() -> None:
    assert spec_of(Heir) is not spec_of(Notifying)
    assert (spec_of(Heir).cls, spec_of(Heir).name) == (Heir, Heir.name)


def test_a_class_that_overrides_notification_has_a_hook_and_its_heirs_have_it_too() -> None:
    assert [spec_of(given).has_hook for given in (Notifying, Heir, Mail, resize)] == [True, True, False, False]
    assert (REGISTRY.has_hook(Heir.name), REGISTRY.has_hook("registry-mail")) == (True, False)


def test_a_hook_that_a_class_gets_later_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mail, "notification", lambda *_: None)
    assert spec_of(Mail).has_hook


def test_the_solo_key_is_that_of_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [spec_of(given).solo for given in (Lonely, Mail)] == ["mailbox", False]
    monkeypatch.setattr(Mail, "solo", True)
    assert spec_of(Mail).solo is True


def test_a_function_has_a_signature_and_a_class_a_schema_each_read_once() -> None:
    of_function, of_class = spec_of(resize), spec_of(Mail)
    assert (of_function.data_schema, of_class.signature) == (None, None)
    assert of_function.signature is not None
    assert of_function.signature is of_function.signature
    assert of_class.data_schema is not None
    assert of_class.data_schema is of_class.data_schema


def test_annotations_are_read_on_first_use_when_all_that_they_name_is_defined() -> None:
    late = type("Late", (Job,), {"name": "registry-late", "__annotations__": {"data": "Later"}, "__module__": __name__})
    globals()["Later"] = int
    with pytest.raises(InvalidArgumentsError, match="data must be int, not str"):
        spec_of(late).accept("text")


@pytest.mark.parametrize(("given", "data"), [(Mail, "text"), (resize, {"name": 5}), (fetch, {"address": "x"})])
def test_data_that_a_job_does_not_take_are_refused(given: Any, data: Any) -> None:
    with pytest.raises(InvalidArgumentsError, match=f"job {job_name(given)}: "):
        spec_of(given).accept(data)


def test_data_that_a_job_takes_are_stored_as_they_are() -> None:
    data = {"name": "a.png"}
    assert spec_of(resize).accept(data) is data
    assert spec_of(Mail).accept(5) == 5


def test_a_service_runs_as_a_service_alone_and_a_solo_job_never_as_one() -> None:
    with pytest.raises(InvalidJobError, match="registry-feed is a service: start it with start_service"):
        spec_of(Feed).check_kind(serves=False)
    with pytest.raises(InvalidJobError, match="job registry-lonely is solo and cannot be a service"):
        spec_of(Lonely).check_kind(serves=True)
    for given, serves in ((Feed, True), (Lonely, False), (Mail, True), (Mail, False)):
        spec_of(given).check_kind(serves)
