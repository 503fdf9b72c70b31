"""Commands that cannot connect: Ctrl-C ends them at once, and they say where they connect to and why it takes long."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support import commands
from tests.support.eventually import eventually
from tests.support.replicaset import free_port
from tests.support.tables import rarely

COMMAND = [sys.executable, "-c", "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())"]

PASSWORD = "hunter2secret"

PATIENT = 120_000  #: milliseconds; whatever ends much sooner was not ended by the driver

ID = "5f5f5f5f5f5f5f5f5f5f5f5f"

CONNECTING = ("bench", "dev", "list", "node", "web --port 0")

#: each of them connects as `list` does
CONNECTING_AS_OTHERS = (
    "add x", "exec true", "listen", "service start x", f"wait {ID}", f"cancel {ID}", "counts", f"delete {ID} --yes",
    "delete-old --age 1d --yes", "doctor", f"edit {ID} waiting", "end-silent", "flush --yes", "restore --yes",
    "migrate", f"retry {ID}", "service", f"show {ID}", "status",
)  # fmt: skip


class Connecting:
    """A process that tries to connect."""

    def __init__(self, command: list[str], log: Path, uri: str) -> None:
        self._log = log
        with log.open("w") as output:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKSCHEDULER_")}
            self.process = commands.Popen(
                command, stdout=output, stderr=output, env={**environment, "TASKSCHEDULER_URI": uri}
            )

    @property
    def said(self) -> str:
        return self._log.read_text()

    def until(self, text: str, within: float = 40.0) -> None:
        eventually(lambda: text in self.said or self.process.poll() is not None, within, text)
        assert text in self.said

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> int:
        """Sends the signal; returns the exit code. Fails if the process goes on to connect."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def end(self) -> None:
        self.process.kill()
        self.process.wait(30)


Start = Callable[..., Connecting]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on which somebody listens who never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Connecting] = []

    def begin(arguments: str, port: int, command: list[str] = COMMAND) -> Connecting:
        uri = f"mongodb://app:{PASSWORD}@127.0.0.1:{port}/shop?serverSelectionTimeoutMS={PATIENT}"
        started.append(Connecting([*command, *arguments.split()], tmp_path / "log", uri))
        return started[-1]

    yield begin
    for one in started:
        one.end()


@pytest.mark.parametrize(
    "arguments", [*CONNECTING, *rarely(*CONNECTING_AS_OTHERS)], ids=lambda arguments: arguments.split()[0]
)
def test_ctrl_c_is_heard_while_a_command_connects(start: Start, silent_port: int, arguments: str) -> None:
    command = start(arguments, silent_port)
    command.until(f"connecting to 127.0.0.1:{silent_port}, database shop")
    code = command.interrupt()
    assert code == (0 if arguments in ("node", "dev") else 130)
    assert PASSWORD not in command.said
    assert "Traceback" not in command.said


@pytest.mark.parametrize("command", ["node", "dev"])
def test_sigterm_ends_a_node_that_connects(start: Start, silent_port: int, command: str) -> None:
    node = start(command, silent_port)
    node.until("connecting to")
    assert node.interrupt(signal.SIGTERM) in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    "arguments", ["list", "node", *rarely("web --port 0")], ids=lambda arguments: arguments.split()[0]
)
def test_the_reason_follows(start: Start, arguments: str) -> None:
    begun = time.monotonic()
    command = start(arguments, free_port())
    command.until("no connection to 127.0.0.1")
    assert time.monotonic() - begun > 4.5
    assert "Connection refused" in command.said
    assert command.said.index("connecting to") < command.said.index("no connection to")
    assert PASSWORD not in command.said
    command.interrupt()


LIBRARY = """
import sys
from taskscheduler import Scheduler, slow_connection
slow_connection.NAMED_AFTER, slow_connection.EXPLAINED_AFTER = 0.1, 0.2  # long before the driver gives up
Scheduler(sys.argv[1]).add_job('x')
"""


def test_a_program_gets_one_line_in_its_log(silent_port: int) -> None:
    uri = f"mongodb://app:{PASSWORD}@127.0.0.1:{silent_port}/shop?serverSelectionTimeoutMS=6000"
    done = commands.run([sys.executable, "-c", LIBRARY, uri], capture_output=True, text=True, timeout=60)
    first, rest = done.stderr.split("\n", 1)
    assert first.startswith(f"no connection to 127.0.0.1:{silent_port}, database shop yet: ")
    assert rest.startswith("Traceback")  # of the error that it raises
    assert PASSWORD not in first


def test_a_quick_connection_is_not_mentioned(uri: str) -> None:
    for arguments in ("list", "status", "counts"):
        done = commands.run(
            [*COMMAND, arguments],
            env={**os.environ, "TASKSCHEDULER_URI": uri},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
