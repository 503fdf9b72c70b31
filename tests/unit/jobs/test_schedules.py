"""The decorator `schedule`: what it takes, and that mistakes are found when the module is imported."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import bson
import pytest

from taskscheduler import (
    InvalidArgumentsError,
    InvalidDataError,
    InvalidJobError,
    InvalidOptionError,
    Job,
    Service,
    job,
)
from taskscheduler import schedule as public
from taskscheduler.declarations.schedules import DeclaredSchedules
from taskscheduler.jobs import schedules as module
from taskscheduler.jobs.schedules import schedule
from taskscheduler.model.payload import CODEC


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> DeclaredSchedules:
    known = DeclaredSchedules()
    monkeypatch.setattr(module, "SCHEDULES", known)
    return known


@job(name="scheduled.function", retry=2)
def function(n: int = 1) -> int:
    return n


class Plain(Job):
    name = "scheduled.class"
    solo = True


class Always(Service):
    name = "scheduled.service"


def test_a_function_and_a_class_may_be_scheduled(known: DeclaredSchedules) -> None:
    assert public is schedule
    assert schedule(cron="@daily", timezone="Europe/Zurich", data={"n": 3}, timeout=9)(function) is function
    assert schedule(every=60, name="often")(schedule(cron="@daily", name="daily")(Plain)) is Plain
    one, daily, often = known.all()
    assert (one.name, one.job, one.data, one.options) == (
        "scheduled.function",
        "scheduled.function",
        {"n": 3},
        {"retry": 2, "timeout": 9},
    )
    assert one.times == {"cron": ["@daily"], "timezone": "Europe/Zurich"}
    assert [(found.name, found.job, found.solo) for found in (daily, often)] == [
        ("daily", "scheduled.class", True),
        ("often", "scheduled.class", True),
    ]


def test_what_is_declared_can_be_passed_to_another_process(known: DeclaredSchedules) -> None:
    schedule(cron="@daily", data={"path": PurePosixPath("/x")}, tags=["a"])(Plain)
    (declared,) = known.all()
    raw = bson.encode(declared._asdict(), codec_options=CODEC)
    assert bson.decode(raw, codec_options=CODEC)["data"] == {"path": "/x"}


def test_a_module_that_is_imported_again_replaces_its_own(known: DeclaredSchedules) -> None:
    for every in (60, 120):
        schedule(every=every, name="x")(Plain)
    assert [found.times for found in known.all()] == [{"every": 120}]


@pytest.mark.parametrize(
    ("target", "given", "error", "reason"),
    [
        (function, {}, InvalidOptionError, "give cron, every or rrule"),
        (function, {"cron": "x"}, InvalidOptionError, "fields"),
        (function, {"every": 60, "retires": 3}, InvalidOptionError, "did you mean retry"),
        (function, {"every": 60, "retry": "x"}, InvalidOptionError, "retry"),
        (function, {"every": 60, "at": 5}, InvalidOptionError, "not for a schedule"),
        (function, {"every": 60, "name": ""}, InvalidOptionError, "name"),
        (function, {"every": 60, "data": {"m": 1}}, InvalidArgumentsError, "m"),
        (Plain, {"every": 60, "data": object()}, InvalidDataError, "cannot be stored"),
        (Always, {"every": 60}, InvalidJobError, "is a service"),
        (print, {"every": 60}, InvalidJobError, "must stand above"),
        (5, {"every": 60}, InvalidJobError, "must stand above"),
    ],
)
def test_a_mistake_is_found_at_once(target: Any, given: dict[str, Any], error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        schedule(**given)(target)


def test_a_name_belongs_to_one_job(known: DeclaredSchedules) -> None:
    schedule(every=60, name="x")(Plain)
    with pytest.raises(InvalidJobError, match="another name"):
        schedule(every=60, name="x")(function)
