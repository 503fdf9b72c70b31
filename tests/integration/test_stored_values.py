"""Paths, enumerations, decimals, dates, sets and dataclasses on their way to a worker and back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128
from tests.support.nodes import NodeProcess
from tests.support.values import Print, PrintJob, PrintService, Size, prints, prints_async, undeclared

from taskscheduler import AsyncScheduler, InvalidArgumentsError, InvalidDataError, Scheduler, Status, call

PRINT = Print(Path("/x"), Size.LARGE, Decimal("9.90"), date(2026, 11, 29), timedelta(seconds=1.5), {"b", "a"})
STORED = {
    "file": "/x",
    "size": "large",
    "price": Decimal128("9.90"),
    "due": "2026-11-29",
    "wait": 1.5,
    "tags": ["a", "b"],
}
TAGLESS = replace(PRINT, tags={"one"})


@pytest.fixture
def node(start_node: Callable[..., NodeProcess]) -> NodeProcess:
    return start_node(jobs=["tests.support.values"])


@pytest.mark.usefixtures("node")
def test_a_worker_gets_what_the_job_declares(scheduler: Scheduler) -> None:
    process = scheduler.add_job(PrintJob, TAGLESS)
    assert process.data == {**STORED, "tags": ["one"]}
    result = process.result(timeout=30)
    assert result == {"received": repr(TAGLESS), "again": {**STORED, "tags": ["one"]}}
    assert process.data == {**STORED, "tags": ["one"]}

    assert scheduler.run(prints, [TAGLESS], Path("/y"), sizes={Size.SMALL: 1}) == [
        repr([TAGLESS]),
        repr(Path("/y")),
        repr({Size.SMALL: 1}),
        ["/y"],
    ]
    two = scheduler.add_jobs(
        [call(prints_async, TAGLESS, {date(2026, 1, 2), date(2026, 1, 1)}), (undeclared, {Path("/x")})]
    )
    assert two[0].result(timeout=30) == [
        repr(TAGLESS),
        repr([date(2026, 1, 1), date(2026, 1, 2)]),
        Decimal128("9.90"),
    ]
    assert two[1].result(timeout=30) == repr(["/x"])


@pytest.mark.usefixtures("node")
def test_a_service_gets_what_it_declares_and_exchanges_the_stored_form(scheduler: Scheduler) -> None:
    scheduler.start_service(PrintService, PRINT)
    assert scheduler.start_service(PrintService, PRINT).outcome == "existing"
    scheduler.send("values-service", {"of": {Path("/z")}, "size": Size.SMALL})
    assert scheduler.receive("values-service", timeout=30) == {"mine": STORED, "yours": {"of": ["/z"], "size": "small"}}
    scheduler.stop_service("values-service")


def test_the_asyncio_twin_stores_the_same(uri: str) -> None:
    async def add() -> Any:
        async with AsyncScheduler(uri) as scheduler:
            added = [await scheduler.add_job(PrintJob, PRINT), await scheduler.submit(undeclared, PRINT)]
            return [one.data for one in added]

    assert asyncio.run(add()) == [STORED, [STORED]]


@pytest.mark.parametrize("job", [PrintJob, "known-to-nobody"])
def test_equal_values_are_the_same_job(scheduler: Scheduler, job: Any) -> None:
    first = scheduler.add_job_once(job, PRINT)
    again = scheduler.add_job_once(job, dict(reversed({**STORED, "tags": {"b", "a"}}.items())))
    assert (again.id, again.outcome) == (first.id, "existing")
    queued = scheduler.add_job(job, PRINT, dedupe=True)
    assert scheduler.add_job(job, STORED, dedupe=True).id == queued.id
    assert scheduler.add_job(job, replace(PRINT, tags={"b"}), dedupe=True).id != queued.id


def test_the_error_names_the_place_and_nothing_is_written(scheduler: Scheduler) -> None:
    for add in (scheduler.add_job, scheduler.add_job_once):
        with pytest.raises(
            InvalidDataError, match=r"^the data of job x cannot be stored: data\.p\[1\] is of type object"
        ):
            add("x", {"p": [Path("/x"), object()]})
    with pytest.raises(InvalidDataError, match=r"the data of job x cannot be stored: data\.p is of type complex"):
        scheduler.add_job("x", {"p": 1j}, dedupe=True)
    with pytest.raises(
        InvalidDataError, match=r"^job 1 of the batch: the data of job x cannot be stored: data\.p is of"
    ):
        scheduler.add_jobs(["x", ("x", {"p": 1j})])
    with pytest.raises(InvalidArgumentsError, match=r"argument due must be datetime\.date"):
        scheduler.add_job(PrintJob, {**STORED, "due": "tomorrow"})
    scheduler.start_service(PrintService, PRINT)
    with pytest.raises(InvalidDataError, match=r"^the message cannot be stored: value\.a is of type complex"):
        scheduler.send("values-service", {"a": 1j})
    assert [process.job for process in scheduler.get_jobs()] == ["values-service"]


def test_a_tracked_program_stores_them_as_well(scheduler: Scheduler) -> None:
    with scheduler.track("values-program", source=Path("/x"), sizes={Size.SMALL}) as record:
        record.update(due=date(2026, 1, 1))
    found = scheduler.get_job(record.id)
    assert found.status is Status.DONE
    assert found.to_dict()["fields"] == {"source": "/x", "sizes": ["small"], "due": "2026-01-01"}


def test_a_program_that_fails_may_say_so_with_such_values(scheduler: Scheduler) -> None:
    with scheduler.track("values-program") as record:
        record.fail("no more", {Path("/x")}, sizes={Size.SMALL})
    found = scheduler.get_job(record.id)
    assert (found.result_value, found.error) == (
        ["/x"],
        {"type": "ProgramError", "message": "no more", "sizes": ["small"]},
    )
