"""The pages "Coming from …" and a tutorial: their examples run against a node; every name in all pages exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from tests.support.eventually import eventually
from tests.support.pages import DOCS, blocks, modules, script, shells, wrong_names

from taskscheduler_daemon.background import stop_node

PLACES = [*sorted((DOCS / "how-to" / "coming-from").glob("*.md")), DOCS / "tutorial" / "retries-and-progress.md"]
TEXTS = {path.stem: path.read_text() for path in PLACES}
#: those whose examples need a node; for the others see test_example_pages
PAGES = {name: text for name, text in TEXTS.items() if not any("InlineNode" in one.text for one in blocks(text))}
BIN = Path(sys.executable).parent
COMMAND = BIN / "taskscheduler"
NODES = {name for page in PAGES.values() for name in modules(page) if name.endswith("node")}

BENCHMARKS = DOCS.parents[1] / "tests/benchmarks/__main__.py"


class Stage:
    """A directory with the modules of all pages, an environment that names a database, and nodes."""

    def __init__(self, place: Path, uri: str) -> None:
        self.place = place
        self.environment = {**os.environ, "TASKSCHEDULER_URI": uri, "PATH": f"{BIN}:{os.environ['PATH']}"}
        self._nodes: list[subprocess.Popen[bytes]] = []
        for page in PAGES.values():
            for name, text in modules(page).items():
                (place / f"{name}.py").write_text(text)

    def start(self, *command: str | Path, ready: str) -> Path:
        """Start a node; its log, once that says that it is ready."""
        log = self.place / f"{len(self._nodes)}.log"
        with log.open("w") as output:
            node = subprocess.Popen(command, cwd=self.place, env=self.environment, stdout=output, stderr=output)
        self._nodes.append(node)
        eventually(lambda: ready in log.read_text() or node.poll() is not None, 30, ready)
        assert node.poll() is None, log.read_text()
        return log

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(
            command, cwd=self.place, env=self.environment, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close(self) -> None:
        for pidfile in self.place.glob("*.pid"):
            stop_node(pidfile)
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
        stage.start(COMMAND, "node", "--jobs", ",".join(jobs), "--max-children", "3", ready="node ready")
        yield stage
    finally:
        stage.close()
        client: MongoClient[dict[str, Any]] = MongoClient(server_uri.format("admin"))
        with client:
            client.drop_database(name)


@pytest.fixture(scope="module")
def runs(stage: Stage) -> Iterator[dict[str, Future[None]]]:
    """The examples of every page, two pages at a time."""
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(run_examples, stage, name) for name in PAGES}


def run_examples(stage: Stage, name: str) -> None:
    (stage.place / f"{name}.run.py").write_text(script(PAGES[name]))
    stage.run(sys.executable, f"{name}.run.py")
    for number, text in enumerate(shells(PAGES[name])):
        (stage.place / f"{name}.{number}.sh").write_text(text)
        stage.run("sh", "-eu", f"{name}.{number}.sh")


@pytest.mark.parametrize("name", PAGES)
def test_the_examples_do_what_the_page_says(name: str, runs: dict[str, Future[None]]) -> None:
    runs[name].result(110)


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS)))
def test_every_name_on_a_page_exists(page: Path) -> None:
    named = [name for name in wrong_names(page.read_text()) if not name.startswith("test_")]  # of tests: see test_docs
    if page.name == "contribute.md":  # which has the options of the benchmarks
        named = [name for name in named if name.split()[0] not in BENCHMARKS.read_text()]
    assert named == []


def test_nodes_with_a_factory_run_jobs(uri: str, tmp_path: Path) -> None:
    stage = Stage(tmp_path, uri)
    try:
        log = stage.start(sys.executable, "imagesnode.py", ready="started")
        job = stage.run(COMMAND, "-o", "id", "add", "thumbnail", '{"path": ""}', "--queue", "images").strip()
        told = re.compile(rf"\bfailed [0-9a-f]{{24}} {job}\b")
        eventually(lambda: told.search(stage.run(COMMAND, "logs", job)), 20, "a handler of the worker")
        stage.start(sys.executable, "newsletternode.py", ready="worker")
        stage.run(COMMAND, "add", "newsletter.CleanTemp", '{"max_age": 1}', "--wait")
    finally:
        stage.close()
    assert "finished" in log.read_text()


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
