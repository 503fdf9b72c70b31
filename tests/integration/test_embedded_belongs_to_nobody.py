"""The embedded server outlives whoever started it, as long as others use it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support import commands
from tests.support.eventually import eventually
from tests.support.nodes import ROOT, NodeProcess, children, is_running
from tests.support.tables import crossed, rarely

from taskscheduler import Scheduler
from taskscheduler.embedded import EmbeddedServer, acquire

StartNode = Callable[..., NodeProcess]

_NODE = "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())"


class Starter:
    """A node that has started the embedded server of a state directory."""

    def __init__(self, command: str, directory: Path) -> None:
        self.state, self.log = directory / "state", directory / "log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKSCHEDULER_")}
        environment |= {"TASKSCHEDULER_STATE_DIR": str(self.state), "PYTHONPATH": str(ROOT)}
        arguments = [sys.executable, "-c", _NODE, *command.split(), "--jobs", "tests.support.jobs"]
        with self.log.open("w") as log:
            self.process = commands.Popen(arguments, stdout=log, stderr=log, cwd=ROOT, env=environment)
        eventually(lambda: self.ready or self.process.poll() is not None, 60, "node ready")
        assert self.process.poll() is None, self.log.read_text()

    @property
    def ready(self) -> int:
        """How often a session of the node has begun."""
        return self.log.read_text().count("node ready")

    @property
    def manager(self) -> int:
        names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in children(self.process.pid)}
        return next(pid for pid, name in names.items() if name == "ts-manager")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)


#: both make the same node: the gate tries each signal with one of them
COMMANDS = ["node --embedded", "dev"]


@pytest.fixture
def starter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(request.param, tmp_path)
    yield starter
    starter.end()


def serves(server: EmbeddedServer) -> bool:
    """Whether the same server is there, and answers."""
    running = is_running(server.address.keeper_pid) and is_running(server.address.mongod_pid)
    with Scheduler(server.uri) as scheduler:
        return bool(running and scheduler.add_job("noop").id)


def ends(server: EmbeddedServer) -> None:
    """Gives up the last use; the server ends."""
    server.release()
    eventually(lambda: not is_running(server.address.mongod_pid), 30, "the server ends")
    eventually(lambda: not is_running(server.address.keeper_pid), 30, "its keeper ends")


@pytest.mark.parametrize(
    ("starter", "number"),
    [
        *crossed(COMMANDS, [signal.SIGTERM, signal.SIGKILL]),
        *(pytest.param(command, signal.SIGINT, marks=pytest.mark.faults) for command in COMMANDS),
    ],
    indirect=["starter"],
)
def test_it_outlives_the_node_that_started_it(starter: Starter, number: int) -> None:
    server = acquire(starter.state, timeout=40)
    manager = starter.manager
    starter.process.send_signal(number)
    starter.process.wait(30)
    eventually(lambda: not is_running(manager), 30, "the manager ends")
    assert serves(server)
    ends(server)


@pytest.mark.parametrize("starter", [COMMANDS[0], *rarely(COMMANDS[1])], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGKILL, *rarely(signal.SIGTERM)])
def test_it_outlives_the_manager_of_that_node(starter: Starter, number: int) -> None:
    server = acquire(starter.state, timeout=40)
    manager = starter.manager
    os.kill(manager, number)
    eventually(lambda: not is_running(manager), 30, "the manager ends")
    assert serves(server)
    starter.process.terminate()
    starter.process.wait(30)
    assert serves(server)
    ends(server)


def test_it_outlives_the_job_that_started_it(scheduler: Scheduler, start_node: StartNode, tmp_path: Path) -> None:
    node = start_node()
    told = scheduler.add_job("use_embedded", str(tmp_path / "state")).result(timeout=60)
    server = acquire(tmp_path / "state", timeout=40)
    assert server.address.mongod_pid == told["mongod"]
    os.kill(told["worker"], signal.SIGKILL)
    assert scheduler.add_job("echo").result(timeout=20)
    assert serves(server)
    os.kill(node.manager, signal.SIGKILL)
    assert scheduler.add_job("echo").result(timeout=20)
    assert serves(server)
    assert node.stop() == 0
    assert serves(server)
    ends(server)
