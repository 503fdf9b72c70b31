"""Processes that a job leaves running are killed and reaped; those that were there before are not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support import commands
from tests.support.eventually import eventually
from tests.support.nodes import children, is_running

from taskscheduler_daemon.system.leftover_processes import LeftoverProcesses

_SLEEP = [sys.executable, "-c", "import time; time.sleep(1000)"]


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command or _SLEEP) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_child_that_was_there_before_is_spared() -> None:
    with started() as ours:
        leftovers = LeftoverProcesses()
        with started() as stranger:
            assert leftovers.end()
            assert not is_running(stranger.pid)
            assert is_running(ours.pid)


def test_a_child_in_a_session_of_its_own_and_its_children_are_killed() -> None:
    leftovers = LeftoverProcesses()
    with started("setsid", "sh", "-c", "trap '' TERM HUP; sleep 1000 & sleep 1000 & wait") as stranger:
        below = eventually(lambda: found if len(found := children(stranger.pid)) == 2 else None)
        assert leftovers.end()
        eventually(lambda: not any(is_running(pid) for pid in [stranger.pid, *below]))


def test_a_child_that_has_ended_is_reaped() -> None:
    leftovers = LeftoverProcesses()
    pid = os.posix_spawn("/bin/true", ["true"], {})
    assert leftovers.end()
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_without_children_nothing_is_to_do() -> None:
    assert LeftoverProcesses().end()


def test_an_orphan_that_this_process_adopts_is_killed() -> None:
    program = """
import os, subprocess
from taskscheduler_daemon.system.leftover_processes import LeftoverProcesses
from taskscheduler_daemon.system.spawn import adopt_orphans
adopt_orphans()
leftovers = LeftoverProcesses()
pid = int(subprocess.check_output(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"]))
print(leftovers.end(), os.path.exists(f"/proc/{pid}"))
"""
    ran = commands.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.stdout.split() == ["True", "False"], ran.stderr
