"""What was open before a fork stays what it was; what is ours alone does not reach the workers."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.eventually import eventually
from tests.support.nodes import ROOT, NodeProcess

from taskscheduler import Scheduler

StartNode = Callable[..., NodeProcess]

JOBS = ["tests.support.opened"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the job module opens its files."""
    monkeypatch.setenv("OPENED_PLACE", str(tmp_path))
    return tmp_path


def assert_nothing_is_mixed_up(scheduler: Scheduler, place: Path, count: int = 5) -> None:
    """The file of each job has its lines alone, and the log all of its own."""
    jobs = [scheduler.add_job("uses_opened") for _ in range(count)]
    for job in jobs:
        assert job.result(timeout=20) == {"out": "a,b\n1,2\n", "scratch": "scratch", "pipe": "pipe"}
    lines = (place / "log").read_text().splitlines()
    assert {f"a line of {job.id}" for job in jobs} <= set(lines)
    assert all(line.startswith("a line of ") for line in lines)
    with sqlite3.connect(place / "numbers") as database:
        assert database.execute("SELECT count(*) FROM numbers").fetchone()[0] >= count
    database.close()


@pytest.mark.parametrize(
    "prelude",
    [
        pytest.param("", id="imported in the manager"),
        pytest.param("import tests.support.opened", id="imported before the node", marks=pytest.mark.faults),
        pytest.param(
            "import taskscheduler_daemon.node.node as n, taskscheduler_daemon.job_modules as m\n"
            "n.try_import = lambda names: m.TriedImport(False, ())",
            id="imported in workers",
        ),
        pytest.param(
            "from taskscheduler_daemon.ipc import channel; channel.posix_ipc = None",
            id="without queues",
            marks=pytest.mark.faults,
        ),
    ],
)
def test_what_a_job_module_opens_stays_open_in_the_workers(
    scheduler: Scheduler, start_node: StartNode, place: Path, prelude: str
) -> None:
    node = start_node(jobs=JOBS, pm="static", min_children=1, prelude=prelude)
    assert_nothing_is_mixed_up(scheduler, place)
    former = node.manager
    os.kill(former, signal.SIGKILL)
    eventually(lambda: node.manager != former, 20)
    assert_nothing_is_mixed_up(scheduler, place)


_OWN = """
import logging, sys, tempfile
place, uri = sys.argv[1:]
logging.basicConfig(filename=f"{place}/node.log", level="INFO", format="%(message)s")
late = logging.getLogger("late")
late.addHandler(logging.FileHandler(f"{place}/late.log", delay=True))
late.propagate = False
from taskscheduler import Scheduler, job
from taskscheduler_daemon import QueueNode, Worker, WorkerManager
kept = []

@job(name="export")
def export(number):
    path = f"{place}/out-{number}"
    with open(path, "w") as out:
        out.write("a\\n"); out.flush()
        logging.info("line %s", number); late.info("line %s", number)
        for file in kept: file.write(f"line {number}\\n"); file.flush()
        out.write("b\\n")
    return open(path).read()

class Factory:
    def build_manager(self):
        kept.append(open(f"{place}/manager.log", "a"))
        return WorkerManager(self, pm="static", min_children=1)

    def build_worker(self, id):
        kept.append(open(f"{place}/worker.log", "a"))
        return Worker(id, Scheduler(uri))

def spawned(event, worker):
    late.info("worker")  # opens its file in the node, between two forks

sys.exit(QueueNode(Scheduler(uri), Factory()).on("worker_spawn", spawned).process())
"""


@contextmanager
def own_node(place: Path, uri: str) -> Iterator[subprocess.Popen[bytes]]:
    node = subprocess.Popen([sys.executable, "-c", _OWN, str(place), uri], cwd=ROOT)
    try:
        yield node
    finally:
        node.terminate()
        assert node.wait(20) == 0


def test_what_a_node_of_ones_own_has_opened_stays_open_in_the_workers(
    uri: str, scheduler: Scheduler, tmp_path: Path
) -> None:
    """In the program before it, in the factory, and in handlers while it runs: before it forks the manager again."""
    logs = ("node.log", "late.log", "manager.log", "worker.log")
    with own_node(tmp_path, uri) as node:
        for number in (1, 2):
            assert scheduler.add_job("export", number).result(timeout=20) == "a\nb\n"
            for name in logs:
                assert (tmp_path / name).read_text().splitlines().count(f"line {number}") == 1, name
            (manager,) = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
            os.kill(int(manager), signal.SIGTERM)
            eventually(lambda: not Path(f"/proc/{manager}").exists(), 20)  # noqa: B023


@pytest.mark.parametrize("queues", [True, False])
@pytest.mark.usefixtures("place")
def test_workers_have_nothing_open_that_is_the_nodes_or_the_managers(
    scheduler: Scheduler, start_node: StartNode, queues: bool
) -> None:
    """Else the manager would not see the end of its node, or the node that of its manager."""
    without = "from taskscheduler_daemon.ipc import channel; channel.posix_ipc = None"
    node = start_node(jobs=JOBS, pm="static", min_children=3, prelude="" if queues else without)
    files = {"/dev/null", *(str(path) for path in Path(os.environ["OPENED_PLACE"]).iterdir())}

    def of(pid: int) -> set[str]:
        numbers = [name for name in os.listdir(f"/proc/{pid}/fd") if int(name) > 2]
        return {os.readlink(f"/proc/{pid}/fd/{number}") for number in numbers} - files

    eventually(lambda: len(node.workers) == 3)
    # what jobs print goes to the node
    files |= {os.readlink(f"/proc/{pid}/fd/{stream}") for pid in node.workers for stream in (1, 2)}
    files.add("/memfd:taskscheduler (deleted)")
    worker = scheduler.add_job("open_here")
    here = set(worker.result(timeout=20)) - files
    assert here & of(node.pid) == set()
    shared = here & of(node.manager)
    (socket,) = [name for name in shared if name.startswith("socket:")]
    pipe = {name for name in shared if name.startswith("pipe:")}
    assert len(pipe) == 1, "that of the job module"
    assert all("(deleted)" in name for name in shared - {socket} - pipe), "its temporary file"
