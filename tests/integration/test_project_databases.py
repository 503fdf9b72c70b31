"""Projects of one developer on the embedded server: a database each, the same for commands, programs and nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support import commands
from tests.support.eventually import eventually

from taskscheduler import Scheduler
from taskscheduler.embedded import EmbeddedServer, acquire
from taskscheduler.embedded.project import database_of

COMMAND = "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())"

PROGRAM = """
import os, sys
from taskscheduler import Scheduler, job
@job(name="where")
def where(): return os.getcwd()
if __name__ == "__main__":
    schedulers = Scheduler(), Scheduler()
    os.chdir("/")
    for scheduler in schedulers:
        with scheduler:
            print(scheduler.add_job("where").id, scheduler.store.database.name)
"""


class Developer:
    """Projects in folders of their own, and one embedded server."""

    def __init__(self, root: Path, server: EmbeddedServer) -> None:
        self.root, self.server = root, server
        self.started: list[subprocess.Popen[str]] = []

    def project(self, name: str) -> Path:
        folder = self.root / name
        (folder / "src").mkdir(parents=True)
        (folder / "pyproject.toml").touch()
        for place in (folder, folder / "src"):
            (place / "shopjobs.py").write_text(PROGRAM)
        return folder

    def _start(self, folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKSCHEDULER_")}
        environment |= {"TASKSCHEDULER_STATE_DIR": str(self.server.state_dir), **more}
        process = commands.Popen(
            [sys.executable, *arguments],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, folder: Path, *arguments: str, **more: str) -> tuple[str, str]:
        """Runs Python there; returns what it printed and what it remarked."""
        process = self._start(folder, *arguments, **more)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return out, err

    def ids(self, folder: Path, **more: str) -> set[str]:
        return set(self.run(folder, "-c", COMMAND, "list", "--all", "-o", "id", **more)[0].split())

    def add(self, folder: Path) -> set[str]:
        """Runs the program of a project; returns the ids of what it has added."""
        out, _ = self.run(folder, "shopjobs.py")
        assert {line.split()[1] for line in out.splitlines()} == {self.database(folder)}
        return {line.split()[0] for line in out.splitlines()}

    def database(self, folder: Path) -> str:
        return database_of(folder if (folder / "pyproject.toml").exists() else folder.parent)

    def node(self, folder: Path) -> subprocess.Popen[str]:
        return self._start(folder, "-c", COMMAND, "node", "--embedded", "--jobs", "shopjobs")

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=30)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with acquire(tmp_path_factory.mktemp("projects"), timeout=60) as running:
        yield running


@pytest.fixture
def developer(tmp_path: Path, server: EmbeddedServer) -> Iterator[Developer]:
    developer = Developer(tmp_path, server)
    yield developer
    developer.end()
    with MongoClient[dict[str, Any]](server.uri) as client:
        client.drop_database("taskscheduler")


def test_the_node_of_one_project_does_not_see_the_jobs_of_another(developer: Developer) -> None:
    shop, other = developer.project("shop"), developer.project("elsewhere/shop")
    mine, theirs = developer.add(shop), developer.add(other)
    assert (len(mine), len(theirs)) == (2, 2)
    assert (developer.ids(shop), developer.ids(other)) == (mine, theirs)
    developer.node(shop)

    def done(folder: Path) -> int:
        return int(developer.run(folder, "-c", COMMAND, "list", "-o", "id", "--status", "done")[0].count("\n"))

    eventually(lambda: done(shop) == 2, 40, "its own jobs are done")
    assert done(other) == 0
    with Scheduler(developer.server.uri_of(database_of(other))) as scheduler:
        assert [process.status.label for process in scheduler.get_jobs()] == ["waiting"] * 2


def test_everything_below_the_folder_of_a_project_agrees(developer: Developer) -> None:
    shop = developer.project("shop")
    assert developer.add(shop / "src") | developer.add(shop) == developer.ids(shop) == developer.ids(shop / "src")


def test_the_variable_names_a_database_for_all(developer: Developer) -> None:
    shop, other = developer.project("shop"), developer.project("other")
    out, _ = developer.run(shop, "shopjobs.py", TASKSCHEDULER_DATABASE="both")
    assert {line.split()[1] for line in out.splitlines()} == {"both"}
    assert len(developer.ids(other, TASKSCHEDULER_DATABASE="both")) == 2
    assert developer.ids(other) == set()


@pytest.mark.parametrize("command", ["status", "doctor"])
@pytest.mark.parametrize("form", ["json", "table"])
def test_status_and_doctor_show_the_database(developer: Developer, command: str, form: str) -> None:
    shop = developer.project("shop")
    out = commands.run(
        [sys.executable, "-c", COMMAND, command, "-o", form], cwd=shop, capture_output=True, text=True, timeout=60,
        env={**os.environ, "TASKSCHEDULER_STATE_DIR": str(developer.server.state_dir), "TASKSCHEDULER_URI": ""},
    ).stdout  # fmt: skip
    assert database_of(shop) in out


HINT = "to reach them, set TASKSCHEDULER_DATABASE=taskscheduler"


@pytest.mark.parametrize("command", [["list"], ["status"], ["counts"], ["doctor"]], ids=lambda command: command[0])
def test_live_jobs_of_the_former_default_are_pointed_at(developer: Developer, command: list[str]) -> None:
    shop = developer.project("shop")
    with Scheduler(developer.server.uri) as former:
        job = former.add_job("where")

        def remarked(**more: str) -> str:
            process = developer._start(shop, "-c", COMMAND, *command, **more)
            return process.communicate(timeout=60)[1]

        said = remarked()
        assert (said.count(HINT), said.count("\n")) == (1, 1)
        assert developer.ids(shop, TASKSCHEDULER_DATABASE="taskscheduler") == {str(job.id)}
        assert remarked(TASKSCHEDULER_DATABASE="taskscheduler") == ""
        job.cancel()
        assert remarked() == ""


def test_a_program_is_told_once_which_data_it_uses(developer: Developer) -> None:
    shop = developer.project("shop")
    with Scheduler(developer.server.uri) as former:
        former.add_job("where")
    _, said = developer.run(shop, "shopjobs.py")
    named = f"using the embedded server of this user in {developer.server.state_dir}, database {database_of(shop)}"
    assert (said.count(named), said.count("TASKSCHEDULER_URI")) == (1, 1)
    assert HINT in said
    key = (developer.server.state_dir / "key").read_text()
    assert key not in said
