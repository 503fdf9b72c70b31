"""The pytest plugin: what its page says, in a pytest of its own that finds it by its entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support.pages import DOCS, modules

PAGE = (DOCS / "how-to" / "test-jobs.md").read_text()

CLOCK = """
from datetime import timedelta
from taskscheduler import Job, Status, job, default_scheduler

@job
def work(): return 1

class Sleeps(Job):
    def start(self):
        self.sleep(seconds=600)
        return "awake"

def test_the_clock(scheduler, inline_node, clock):
    assert default_scheduler() is scheduler
    scheduler.schedules.add("hourly", work, every=3600)
    scheduler.limits.set("api", rate=1, per=60)
    limited = [work.options(limits=["api"]).add() for _ in range(2)]
    scheduler.pause(queue="mail", until=timedelta(seconds=30))
    paused, sleeping = work.options(queue="mail").add(), scheduler.add_job(Sleeps)
    assert {one.id for one in inline_node.run_until_idle()} == {limited[0].id, sleeping.id}
    assert inline_node.run_until_idle() == []
    clock.advance(timedelta(seconds=61))
    assert {one.id for one in inline_node.run_until_idle()} == {limited[1].id, paused.id}
    clock.advance(3600)
    ran = inline_node.run_until_idle()
    assert len([one for one in ran if one.schedule == "hourly"]) in (1, 2)
    assert sleeping.result(timeout=10) == "awake"
    assert clock.passed == timedelta(seconds=3661)

def test_options(scheduler): assert scheduler.options.job_retention == 60
def test_another_database(scheduler): assert scheduler.counts() == {}
"""

COSTS = """
import sys
def test_nothing_is_loaded(): assert not {"pymongo", "taskscheduler"} & set(sys.modules)
"""


def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Runs pytest in a folder; returns its code and what it printed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TASKSCHEDULER", "PYTEST"))}
    without = [word for name in ("cacheprovider", "anyio", "schemathesis") for word in ("-p", f"no:{name}")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *without, *arguments],
        cwd=folder, env={**inherited, **environment}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for module, text in modules(PAGE).items():
        (tmp_path / f"{module}.py").write_text(text)
    return tmp_path


@pytest.fixture
def client(server_uri: str) -> Iterator[MongoClient[dict[str, Any]]]:
    client: MongoClient[dict[str, Any]] = MongoClient(server_uri.format("admin"))
    with client:
        yield client


def test_the_tests_of_the_page_pass_and_time_passes_for_all_that_waits(
    folder: Path, client: MongoClient[dict[str, Any]], server_uri: str
) -> None:
    (folder / "test_clock.py").write_text(CLOCK)
    before = set(client.list_database_names())
    code, said = run(folder, f"--taskscheduler-uri={server_uri.format('precious')}")
    assert (code, "5 passed" in said) == (0, True), said
    assert set(client.list_database_names()) - before == set()


def test_without_a_fixture_nothing_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "test_costs.py").write_text(COSTS)
    code, said = run(tmp_path, TASKSCHEDULER_TEST_URI="nonsense")
    assert code == 0, said
    code, said = run(tmp_path, "-p", "no:taskscheduler", "--fixtures")
    assert "inline_node" not in said


def test_what_is_missing_is_said_with_the_cure(folder: Path) -> None:
    for environment, line in (
        (
            {"TASKSCHEDULER_MONGOD": "/no/mongod", "TASKSCHEDULER_STATE_DIR": str(folder / "state")},
            "--taskscheduler-uri=mongodb://host",
        ),
        (
            {"TASKSCHEDULER_TEST_URI": "http://user:secret@host"},
            "TASKSCHEDULER_TEST_URI or taskscheduler_uri: the URI of a server",
        ),
    ):
        code, said = run(folder, "test_mails.py", **environment)
        assert (code, line in said, "Traceback" in said, "secret" in said) == (1, True, False, False), said
