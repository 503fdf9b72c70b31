"""Whether a program is gone is said of the very one, where it can be known, and never in doubt."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support import commands
from tests.support.eventually import eventually
from tests.support.nodes import is_running
from tests.support.tables import table

from taskscheduler.process_identity import identify_self, is_gone, is_local, started_at

#: leaves another process in its group, and says its pid
_PARENT = "import subprocess, sys; print(subprocess.Popen(['sleep', '1000']).pid, flush=True); sys.stdin.read()"


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own, with another one below it."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", _PARENT]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, process_group=0) as process:
        yield process
        process.kill()


def stored(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What is stored of a process that leads its group."""
    return {**identify_self(), "pid": process.pid, "started": started_at(process.pid), "group": process.pid}


def end(pid: int) -> None:
    """SIGKILL, and what was started below it belongs to nobody any more."""
    subprocess.run(["kill", "-9", str(pid)], check=True)


def test_a_program_is_gone_when_nothing_of_its_group_is_left(other: subprocess.Popen[str]) -> None:
    assert other.stdout is not None
    below = int(other.stdout.readline())
    known = stored(other)
    assert not is_gone(known)
    end(other.pid)
    eventually(lambda: not is_running(other.pid))
    try:
        assert not is_gone(known), "what it has started goes on"
        assert is_gone({**known, "group": 2**30}), "a process that nobody has waited for is gone, too"
        assert not is_gone({**known, "group": None}), "nobody knows which group is to be gone"
        other.wait(10)
        assert not is_gone(known)
    finally:
        end(below)
    eventually(lambda: is_gone(known))


def test_another_process_that_got_its_pid_is_not_taken_for_it(other: subprocess.Popen[str]) -> None:
    assert other.stdout is not None
    below = int(other.stdout.readline())
    known = stored(other)
    assert is_gone({**known, "started": known["started"] - 1, "group": 2**30})
    end(below)


@table(
    "elsewhere", [{"host": "elsewhere"}, {"boot": "before"}, {"space": "pid:[1]"}, {"boot": None}, {"started": None}]
)
def test_of_a_program_elsewhere_nothing_is_said(elsewhere: dict[str, Any]) -> None:
    """Among them one in another pid namespace of the same kernel, as containers have them."""
    gone = {**identify_self(), "pid": 2**22 + 1, "group": 2**30}
    assert is_gone(gone)
    assert not is_gone({**gone, **elsewhere})
    assert is_local(gone)
    assert is_local({**gone, **elsewhere}) == ("started" in elsewhere)


def test_a_process_of_its_group_that_began_later_may_be_left_of_it() -> None:
    gone = {**identify_self(), "pid": 2**22 + 1}
    child = subprocess.Popen(["sleep", "1000"])
    try:
        assert not is_gone(gone), "a child of ours in our group, which began later than we"
    finally:
        child.kill()
        child.wait(10)


def test_a_process_that_asks_is_not_what_is_left() -> None:
    """A script that starts a program again and again has them all in one group."""
    question = "from taskscheduler.process_identity import *; print(is_gone({**identify_self(), 'pid': 2**22 + 1}))"
    command = [sys.executable, "-c", question]
    answer = commands.run(command, capture_output=True, text=True, check=True, process_group=0, timeout=60)
    assert answer.stdout == "True\n"


def test_where_others_are_hidden_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {**identify_self(), "pid": 2**22 + 1, "group": os.getpgid(os.getppid())}
    seen = os.listdir("/proc")
    hidden = [name for name in seen if name != "1"]
    monkeypatch.setattr("os.listdir", lambda path: hidden if path == "/proc" else [])
    assert not is_gone(gone)


def test_where_pids_are_not_those_of_proc_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {**identify_self(), "pid": 2**22 + 1, "group": 2**30}
    monkeypatch.setattr("os.readlink", lambda path: "1")
    assert identify_self()["space"] is None
    assert not is_gone(gone)
    assert not is_gone({**gone, "space": None})
