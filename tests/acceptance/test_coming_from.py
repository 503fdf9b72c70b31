"""The pages "Coming from …": their examples run against a node, and every name in them exists."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from tests.support.eventually import eventually
from tests.support.pages import DOCS, modules, script, shells, wrong_names

PAGES = {path.stem: path.read_text() for path in sorted(DOCS.glob("coming-from-*.md"))}
BIN = Path(sys.executable).parent
NODES = {name for page in PAGES.values() for name in modules(page) if name.endswith("node")}


class Stage:
    """A directory with the modules of all pages, an environment that names a database, and nodes."""

    def __init__(self, place: Path, uri: str) -> None:
        self.place = place
        self.environment = {**os.environ, "TASKSCHEDULER_URI": uri, "PATH": f"{BIN}:{os.environ['PATH']}"}
        self._nodes: list[subprocess.Popen[bytes]] = []
        for page in PAGES.values():
            for name, text in modules(page).items():
                (place / f"{name}.py").write_text(text)

    def start(self, *command: str | Path, ready: str = "node ready") -> None:
        log = self.place / f"{len(self._nodes)}.log"
        with log.open("w") as output:
            node = subprocess.Popen(command, cwd=self.place, env=self.environment, stdout=output, stderr=output)
        self._nodes.append(node)
        eventually(lambda: ready in log.read_text() or node.poll() is not None, 30, ready)
        assert node.poll() is None, log.read_text()

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(command, cwd=self.place, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close(self) -> None:
        for node in self._nodes:
            node.terminate()
        for node in self._nodes:
            assert node.wait(20) == 0


@pytest.fixture(scope="module")
def stage(server_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One node for all pages."""
    name = f"test_{ObjectId()}"
    stage = Stage(tmp_path_factory.mktemp("pages"), server_uri.format(name))
    jobs = sorted({name for page in PAGES.values() for name in modules(page)} - NODES)
    try:
        stage.start(BIN / "taskscheduler", "node", "--jobs", ",".join(jobs), "--max-children", "3")
        yield stage
    finally:
        stage.close()
        client: MongoClient[dict[str, Any]] = MongoClient(server_uri.format("admin"))
        with client:
            client.drop_database(name)


@pytest.mark.parametrize("name", PAGES)
def test_the_examples_do_what_the_page_says(name: str, stage: Stage) -> None:
    (stage.place / f"{name}.run.py").write_text(script(PAGES[name]))
    stage.run(sys.executable, f"{name}.run.py")
    for number, text in enumerate(shells(PAGES[name])):
        (stage.place / f"{name}.{number}.sh").write_text(text)
        stage.run("sh", "-eu", f"{name}.{number}.sh")


@pytest.mark.parametrize("name", PAGES)
def test_every_name_on_the_page_exists(name: str) -> None:
    assert wrong_names(PAGES[name]) == []


def test_a_node_with_a_factory_runs_jobs(uri: str, tmp_path: Path) -> None:
    stage = Stage(tmp_path, uri)
    try:
        stage.start(sys.executable, "newsletternode.py", ready="worker")
        stage.run(BIN / "taskscheduler", "add", "newsletter.CleanTemp", '{"max_age": 1}', "--wait")
    finally:
        stage.close()


@pytest.mark.parametrize(
    "wrong",
    [
        "`scheduler.add_jobb(x)`",
        "| there | `process.resultt` |",
        "| there | `scheduler.add_job(job, retri=3)` |",
        "| there | `QueueNode(x, max_childs=3)` |",
        "| there | `retry_pause` |",
        "`taskscheduler lst`",
        "| there | `taskscheduler node --max-childs 3` |",
        "| there | `--max-childs` |",
        "```sh\ntaskscheduler list --statuz done\n```",
    ],
)
def test_a_wrong_name_is_found(wrong: str) -> None:
    assert len(wrong_names(wrong)) == 1
