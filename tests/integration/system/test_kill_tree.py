"""What is killed with a process, and what belongs to others although it is below it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.support import commands
from tests.support.eventually import eventually
from tests.support.nodes import is_running

from taskscheduler.embedded.launcher import is_keeper
from taskscheduler_daemon.system.kill import kill_adopted, kill_tree
from taskscheduler_daemon.system.procfs import children, descendants

_WAIT = "import threading; threading.Event().wait()"
_KEEPER = ["-m", "taskscheduler.embedded.keeper", "state"]

#: starts a child that waits, which has one below it; its arguments are those of the child
_PARENT = f"""
import subprocess, sys
child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', '{_WAIT}']).wait()"
started = subprocess.Popen([sys.executable, "-c", child, *sys.argv[1:]], start_new_session=True, stdout=2)
print(started.pid, flush=True)
{_WAIT}
"""

#: adopts a child that its parent left behind, kills what it adopted, and tells whether the child survives
_ADOPTER = f"""
import subprocess, sys
from taskscheduler_daemon.system.kill import kill_adopted
from taskscheduler_daemon.system.procfs import children
from taskscheduler_daemon.system.spawn import adopt_orphans
import os
adopt_orphans()
detached = ["/bin/sh", "-c", '"$@" &', "sh", sys.executable, "-c", "{_WAIT}", *sys.argv[1:]]
subprocess.run(detached, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
[orphan] = children(os.getpid())
print(kill_adopted(set()), kill_adopted({{orphan}}), orphan)
"""


@pytest.fixture
def started() -> Iterator[list[int]]:
    pids: list[int] = []
    yield pids
    for pid in filter(is_running, pids):
        os.kill(pid, signal.SIGKILL)


def family(started: list[int], arguments: list[str]) -> tuple[subprocess.Popen[str], int, int]:
    """A parent, its child with these arguments, and the child of that."""
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, *arguments], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    [grandchild] = eventually(lambda: children(child))
    started += [parent.pid, child, grandchild]
    return parent, child, grandchild


def test_everything_below_a_process_is_killed_with_it(started: list[int]) -> None:
    parent, child, grandchild = family(started, ["-m", "a.job"])
    assert descendants(parent.pid) == [child, grandchild]
    kill_tree(parent.pid)
    parent.communicate(timeout=10)
    eventually(lambda: not is_running(child) and not is_running(grandchild))


def test_the_keeper_of_an_embedded_server_and_its_server_are_not(started: list[int]) -> None:
    parent, child, grandchild = family(started, _KEEPER)
    assert descendants(parent.pid) == []
    kill_tree(parent.pid)
    parent.communicate(timeout=10)
    assert is_running(child)
    assert is_running(grandchild)


@pytest.mark.parametrize(("arguments", "killed"), [(["-m", "a.job"], True), (_KEEPER, False)])
def test_an_adopted_process_is_killed_unless_it_is_a_keeper(
    started: list[int], arguments: list[str], killed: bool
) -> None:
    command = [sys.executable, "-c", _ADOPTER, *arguments]
    told = commands.run(command, capture_output=True, text=True, check=True, timeout=60)
    was_killed, again, orphan = told.stdout.split()
    started.append(int(orphan))
    assert (was_killed, again) == (str(killed), "False")
    eventually(lambda: is_running(int(orphan)) is not killed)


def test_a_program_that_only_names_the_keeper_is_none(started: list[int]) -> None:
    for arguments in (["taskscheduler.embedded.keeper"], ["-m", "taskscheduler.embedded.keeper2"], ["-m", "x"]):
        process = subprocess.Popen([sys.executable, "-c", _WAIT, *arguments])
        started.append(process.pid)
        assert not is_keeper(process.pid)
        process.kill()
        process.wait(10)
        assert not is_keeper(process.pid)
    assert not kill_adopted(set(children(os.getpid())))
