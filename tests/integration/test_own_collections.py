"""Commands with names of collections of one's own: all of them see the same jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from taskscheduler import Scheduler
from taskscheduler_daemon import start_node, stop_node
from taskscheduler_daemon.cli import main

NAMES: dict[str, Any] = {"job_store": "my.jobs", "job_queue": "my.queue", "event_queue": "my.events"}

OPTIONS = ["--job-store", "my.jobs", "--job-queue", "my.queue", "--event-queue", "my.events"]

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def uri(bare_uri: str) -> str:
    """The URI of a database that does not exist yet."""
    return bare_uri


@pytest.fixture
def run(uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def call(*arguments: str) -> tuple[int, str]:
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


@pytest.fixture
def own(uri: str) -> Iterator[Scheduler]:
    with Scheduler(uri, options=NAMES) as scheduler:
        yield scheduler


@pytest.fixture(params=["before", "after", "environment"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Puts the names where they may be given: before or after the command, or in the environment."""
    if request.param == "environment":
        for name, value in NAMES.items():
            monkeypatch.setenv(f"TASKSCHEDULER_{name.upper()}", value)
        return lambda *arguments: list(arguments)
    if request.param == "before":
        return lambda *arguments: [*OPTIONS, *arguments]
    return lambda *arguments: [*arguments, *OPTIONS]


def test_every_command_takes_the_names(
    run: Run, own: Scheduler, place: Callable[..., list[str]], database: Database[dict[str, Any]]
) -> None:
    job = own.add_job("Mail", {"to": "a"})
    own.start_service("parrot")
    job_id = str(job.id)
    shown = [["list"], ["show", job_id], ["wait", job_id, "--timeout", "0"], ["counts"]]
    for arguments in shown:
        assert "Mail" in run(*place(*arguments))[1], arguments
    assert "jobs\twaiting\t2" in run(*place("status"))[1]
    assert json.loads(run(*place("-o", "json", "status"))[1])["jobs"]["waiting"] == 2
    assert "my.queue and my.events are capped" in run(*place("doctor"))[1]
    assert "parrot" in run(*place("service", "list"))[1]
    assert run(*place("cancel", job_id))[0] == 0
    assert run(*place("retry", job_id))[0] == 0
    assert run(*place("edit", job_id, "canceled"))[0] == 0
    assert run(*place("add", "Other", "--queue", "x"))[0] == 0
    assert "1 job deleted" in run(*place("flush", "--queue", "x", "--yes"))[1]
    assert run(*place("delete", job_id, "--yes"))[0] == 0
    assert "Deleted 0 jobs" in run(*place("delete-old", "--age", "1d", "--yes"))[1]
    assert "0 jobs requeued" in run(*place("restore", "--yes"))[1]
    assert run(*place("end-silent"))[0] == run(*place("listen", "--timeout", "0"))[0] == 0
    assert "taskscheduler.jobs" not in database.list_collection_names()


def test_the_command_that_is_recorded_is_recorded_there(run: Run, own: Scheduler) -> None:
    assert run(*OPTIONS, "exec", "--", "true")[0] == 0
    assert [job.job for job in own.get_jobs({})] == ["true"]


def test_a_node_runs_the_jobs_of_these_collections(uri: str, own: Scheduler, tmp_path: Path) -> None:
    start_node(tmp_path / "pid", uri, tmp_path / "log", jobs=["tests.support.jobs"], **NAMES)
    try:
        assert own.add_job("echo", 5).result(30)["data"] == 5
    finally:
        stop_node(tmp_path / "pid")


def test_a_name_that_cannot_be_one_is_refused(run: Run) -> None:
    code, said = run("list", "--job-store", "system.x")
    assert (code, "option job_store must be the name of a collection" in said) == (2, True)
    code, said = run("list", "--job-store", "a", "--job-queue", "a")
    assert (code, said.count("\n")) == (2, 1)
