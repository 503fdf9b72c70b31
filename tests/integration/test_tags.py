"""Tags: texts to find jobs by, with the library and on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.jobs import Noop
from tests.support.nodes import NodeProcess

from taskscheduler import InvalidOptionError, Scheduler
from taskscheduler_daemon.cli import main

Run = Callable[..., list[str]]


@pytest.fixture
def run(uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in this process and gives its lines."""
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def call(*arguments: object, code: int = 0) -> list[str]:
        assert main([*map(str, arguments)]) == code
        said = capsys.readouterr()
        return (said.err if code else said.out).splitlines()

    return call


def found(scheduler: Scheduler, query: Any) -> list[Any]:
    return sorted(process.data for process in scheduler.get_jobs(query))


def test_jobs_are_found_by_their_tags(scheduler: Scheduler) -> None:
    first = scheduler.add_job(Noop, 1, tags=["mail", "urgent", "mail"])
    scheduler.add_jobs([(Noop, 2, {"tags": {"mail"}}), (Noop, 3)])
    assert first.tags == scheduler.get_job(first.id).tags == ["mail", "urgent"]
    assert first.options["tags"] == ["mail", "urgent"]
    assert found(scheduler, {"tags": "mail"}) == [1, 2]
    assert found(scheduler, {"tags": {"$all": ["urgent", "mail"]}}) == [1]
    assert found(scheduler, {"tags": {"$in": ["urgent", "other"]}}) == [1]


def test_a_job_without_tags_has_no_field_for_them(scheduler: Scheduler) -> None:
    for process in (scheduler.add_job(Noop), scheduler.add_job(Noop, tags=[])):
        assert process.tags == []
        assert "tags" not in process.refresh().to_dict()


def test_other_tags_make_another_job_of_add_job_once(scheduler: Scheduler) -> None:
    first = scheduler.add_job_once(Noop, tags=["a"])
    assert scheduler.add_job_once(Noop).id == first.id
    assert scheduler.add_job_once(Noop, tags=["a"]).id == first.id
    assert scheduler.add_job_once(Noop, tags=["b"]).outcome == "replaced"


def test_services_and_programs_are_found_by_their_tags(scheduler: Scheduler) -> None:
    service = scheduler.start_service("parrot", tags=["birds"])
    assert scheduler.start_service("parrot", tags=["birds"]).outcome == "existing"
    with scheduler.track("import", tags=["birds", "nightly"]) as record:
        assert {job.id for job in scheduler.get_jobs({"tags": "birds"})} == {service.id, record.id}
    assert record.tags == ["birds", "nightly"]
    again = scheduler.start_service("parrot")
    assert (again.id, again.outcome) == (service.id, "replaced")
    assert "tags" not in again.refresh().to_dict()
    with pytest.raises(InvalidOptionError, match="option tags must be a list of texts"):
        scheduler.track("import", tags="birds")


def test_the_command_line_tags_services_and_commands(scheduler: Scheduler, run: Run) -> None:
    run("service", "start", "parrot", "--tag", "birds")
    run("exec", "--tag", "birds", "-t", "nightly", "true")
    listed = [json.loads(line) for line in run("list", "--all", "--tag", "birds", "-o", "ndjson")]
    assert {job["class"]: job["tags"] for job in listed} == {"parrot": ["birds"], "true": ["birds", "nightly"]}


def test_all_runs_of_a_series_have_the_tags(scheduler: Scheduler, node: NodeProcess) -> None:
    first = scheduler.add_job(Noop, tags=["nightly"], interval=3600)
    first.wait(timeout=30)
    following = eventually(lambda: list(scheduler.get_jobs({"series": first.id, "_id": {"$ne": first.id}})))
    assert [process.tags for process in following] == [["nightly"]]


def test_tags_on_the_command_line(run: Run) -> None:
    (one,) = run("add", "mail", "1", "-t", "urgent", "--tag", "night", "-o", "id")
    (two,) = run("add", "mail", "2", "-t", "night", "-o", "id")
    (three,) = run("add", "mail", "3", "-o", "id")
    assert sorted(run("list", "-t", "night", "-o", "id")) == sorted([one, two])
    assert sorted(run("list", "-t", "urgent", "-t", "other", "-o", "id")) == [one]
    assert len(run("list", "-o", "id")) == 3
    assert json.loads("\n".join(run("show", one, "-o", "json")))["tags"] == ["urgent", "night"]
    assert "tags" not in json.loads("\n".join(run("show", three, "-o", "json")))
    assert [line for line in run("show", one, "-o", "table") if " tags " in line] == ["  tags      urgent, night"]
    (said,) = run("add", "mail", "-t", "x" * 101, code=2)
    assert "option tags must be a list of texts of 1 to 100 characters" in said


def test_data_are_checked_on_the_command_line_if_the_module_is_named(run: Run) -> None:
    (said,) = run("add", "resize", '{"name": 5}', "--jobs", "tests.support.calls", code=2)
    assert said == "taskscheduler: job resize: argument name must be str, not int"
    assert run("list", "-o", "id") == []
    (said,) = run("add", "resise", '{"name": "a.png"}', "--jobs", "tests.support.calls", code=2)
    assert said.startswith("taskscheduler: job 'resise' is not registered by the modules of --jobs")
    assert len(run("add", "resize", '{"name": "a.png"}', "--jobs", "tests.support.calls", "-o", "id")) == 1


def test_dedupe_on_the_command_line(run: Run) -> None:
    (one,) = run("add", "mail", "1", "--dedupe", "-o", "id")
    assert run("add", "mail", "1", "--dedupe", "-o", "tsv")[1].split("\t") == [one, "waiting", "existing"]
    assert run("add", "mail", "2", "--dedupe", "--ignore-data", "-o", "id") != [one]
    (said,) = run("add", "mail", "1", "--dedupe", "--once", code=2)
    assert "give --once or --dedupe, not both" in said
