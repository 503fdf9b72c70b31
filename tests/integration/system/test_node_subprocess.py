"""NodeSubprocess: a child in a session of its own, whose end is noticed and which never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from tests.support import commands
from tests.support.eventually import eventually
from tests.support.nodes import is_running

from taskscheduler.errors import SchedulerError
from taskscheduler_daemon.system import node_subprocess
from taskscheduler_daemon.system.node_subprocess import NodeSubprocess

WAITS = "import sys, threading\nprint('ready', flush=True)\nthreading.Event().wait()\n"
STUBBORN = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{WAITS}"
TELLS = "import os, sys\nprint(os.getsid(0) == os.getpid(), os.getcwd(), os.environ['SOME'], *sys.argv[1:])\nprint()\n"
FAILS = "import sys\nprint('why it failed')\nprint()\nsys.exit(3)\n"
SILENT = "import sys\nsys.exit(1)\n"

Start = Callable[..., NodeSubprocess]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[BinaryIO]:
    with (tmp_path / "log").open("w+b") as file:
        yield file


@pytest.fixture
def start(tmp_path: Path, log: BinaryIO, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Runs a text as the module of a node."""
    monkeypatch.syspath_prepend(tmp_path)
    started: list[NodeSubprocess] = []

    def run(text: str, *arguments: str) -> NodeSubprocess:
        (tmp_path / "some_node.py").write_text(text)
        node = NodeSubprocess("some_node", arguments, log=log, environment={"SOME": "uri"}, directory=tmp_path)
        started.append(node)
        return node

    yield run
    for node in started:
        node.stop()


def ready(tmp_path: Path) -> None:
    eventually(lambda: "ready" in (tmp_path / "log").read_text(), 10, "the module runs")


def end_of(node: NodeSubprocess) -> str:
    def error() -> str:
        try:
            node.check()
        except SchedulerError as raised:
            return str(raised)
        return ""

    return str(eventually(error, 10, "it has ended"))


def test_it_gets_the_parent_the_arguments_and_the_environment(start: Start, tmp_path: Path) -> None:
    assert end_of(start(TELLS, "a=b", "c")) == (
        f"the queue node ended by itself with exit code 0: True {tmp_path} uri {os.getpid()} a=b c"
    )


@pytest.mark.parametrize(("text", "code", "line"), [(FAILS, 3, "why it failed"), (SILENT, 1, "it left no message")])
def test_an_end_by_itself_is_an_error_with_the_last_line(start: Start, text: str, code: int, line: str) -> None:
    assert end_of(start(text)) == f"the queue node ended by itself with exit code {code}: {line}"


def test_leaving_the_context_stops_it(start: Start, tmp_path: Path) -> None:
    with start(WAITS) as node:
        ready(tmp_path)
        node.check()  # it runs
    assert "exit code -15" in end_of(node)


def test_what_ignores_sigterm_is_killed(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_subprocess, "_ENDS_WITHIN", 0.1)
    with start(STUBBORN) as node:
        ready(tmp_path)
    assert f"exit code -{signal.SIGKILL:d}" in end_of(node)


def die_with(parent: str) -> str:
    return (
        "import threading\n"
        "from taskscheduler_daemon.system.node_subprocess import die_with_parent\n"
        f"print(die_with_parent({parent}), flush=True)\n"
        "threading.Event().wait()\n"
    )


def test_it_dies_with_its_parent() -> None:
    child = [sys.executable, "-c", die_with("__import__('os').getppid()")]
    program = f"import subprocess\nchild = subprocess.Popen({child!r})\nprint(child.pid, flush=True)\nchild.wait()\n"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert parent.stdout.readline() == "True\n"
        assert is_running(pid)
        parent.kill()
        parent.wait(10)
    eventually(lambda: not is_running(pid), 10, "the child is gone")


def test_a_parent_that_is_gone_already_is_noticed() -> None:
    program = die_with("1").replace("threading.Event().wait()\n", "")
    ran = commands.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout == "False\n"
