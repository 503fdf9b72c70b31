"""Why a job does not run, and how many jobs there are for each reason: on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from bson import ObjectId
from pymongo.database import Database
from tests.support.json_tables import objections

from taskscheduler import Process, Scheduler
from taskscheduler_daemon.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def limited(scheduler: Scheduler) -> list[Process]:
    """A job that holds the place of a limit, and one that waits for it; a node that has no slot is up."""
    scheduler.store.nodes.register(ObjectId(), {"name": "web-1", "slots": 0})
    scheduler.limits.set("stripe", concurrency=1)
    return [scheduler.add_job("noop", limits="stripe") for _ in "ab"]


TEXT = 'limit "stripe": 1 of 1 places taken'


def test_a_code_and_a_sentence_in_every_form(run: Run, limited: list[Process]) -> None:
    job = limited[1]
    assert run("why", job.id, "-o", "table") == (0, f"LIMIT  {TEXT}\n", "")
    assert run("why", str(job.id)[-6:])[1] == f"CODE\tTEXT\nLIMIT\t{TEXT}\n"
    assert run("why", job.id, "-o", "id")[1] == "LIMIT\n"
    printed = json.loads(run("why", job.id, "-o", "json")[1])
    assert (printed["code"], printed["text"], printed["facts"]["taken"]) == ("LIMIT", TEXT, 1)
    assert json.loads(run("why", job.id, "-o", "ndjson")[1]) == printed
    assert objections("Reasons", printed) == []


def test_the_summary_in_every_form(run: Run, scheduler: Scheduler, limited: list[Process]) -> None:
    assert limited
    scheduler.add_job("noop", at=timedelta(hours=3))
    expected = {"NOT_DUE": 1, "LIMIT": 1, "SLOTS": 1}
    assert json.loads(run("why", "--summary", "-o", "json")[1]) == expected
    lines = [json.loads(line) for line in run("why", "--summary", "-o", "ndjson")[1].splitlines()]
    assert {line["code"]: line["jobs"] for line in lines} == expected
    assert run("why", "--summary", "-o", "id")[1].split() == [*expected]
    assert run("why", "--summary")[1].splitlines()[2] == "LIMIT\t1\tall places of a limit are taken"
    _, out, _ = run("why", "--summary", "-o", "table")
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["CODE", "JOBS"],
        *([code, "1"] for code in expected),
    ]


def test_no_job_no_reason(run: Run, scheduler: Scheduler) -> None:
    assert scheduler
    assert run("why", "--summary", "-o", "json")[:2] == (0, "{}\n")


def test_a_mistake_is_told_in_a_line(run: Run) -> None:
    for given, code, part in (
        ((), 2, "give the ID of a job, or --summary"),
        (("6b0b6b0b6b0b6b0b6b0b6b0b", "--summary"), 2, "give the ID of a job, or --summary"),
        (("no id",), 2, "is not a job id"),
        (("6b0b6b0b6b0b6b0b6b0b6b0b",), 3, "6b0b6b0b6b0b6b0b6b0b6b0b"),
    ):
        ended, out, error = run("why", *given)
        assert (ended, out, error.count("\n"), part in error) == (code, "", 1, True), (given, error)
    assert "did you mean why?" in run("wy", "6d0ede69")[2]


def test_show_says_why_a_live_job_does_not_run(run: Run, scheduler: Scheduler, limited: list[Process]) -> None:
    assert f"\n  why       LIMIT: {TEXT}\n" in run("show", limited[1].id, "-o", "table")[1]
    scheduler.cancel_job(limited[1].id)
    assert "why " not in run("show", limited[1].id, "-o", "table")[1]


def test_status_counts_what_is_kept_back(run: Run, scheduler: Scheduler, limited: list[Process]) -> None:
    assert json.loads(run("status", "-o", "json")[1])["why"] == {"LIMIT": 1}
    scheduler.pause(queue="default")
    assert "\nwhy     1 PAUSED   1 LIMIT   (taskscheduler why --summary)\n" in run("status", "-o", "table")[1]
    assert "why\tLIMIT\t1\tall places of a limit are taken" in run("status")[1].splitlines()
    scheduler.resume(queue="default")
    scheduler.cancel_job(limited[1].id)
    assert "why" not in run("status", "-o", "table")[1]


def test_status_asks_no_more_if_nothing_can_be_kept_back(
    run: Run, scheduler: Scheduler, database: Database[dict[str, object]]
) -> None:
    scheduler.add_job("noop")
    assert parked_queries(run, database) == 0
    scheduler.add_job("noop", at=timedelta(hours=3))
    assert parked_queries(run, database) == 1


def parked_queries(run: Run, database: Database[dict[str, object]]) -> int:
    """How often `status` asks for parked jobs."""
    database.command("profile", 2)
    try:
        assert run("status")[0] == 0
    finally:
        database.command("profile", 0)
    profile = database["system.profile"]
    asked = profile.count_documents({"planSummary": {"$regex": "blocked"}})
    profile.drop()
    return asked
