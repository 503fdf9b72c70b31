"""What is common to all that runs in a process is restored, or named as spoiled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
from tests.support import commands
from tests.support.leavings import RESTORED, SPOILING
from tests.support.tables import table

#: each change in a fork of its own, as some of them are for good
_PROGRAM = """
import json, os, sys
from tests.support.leavings import RESTORED, SPOILING, state
from taskscheduler_daemon.system.standard_streams import is_marked, mark, read_nothing
from taskscheduler_daemon.system.surroundings import Surroundings

def take_streams():
    read_nothing()
    for number in (1, 2):
        os.dup2(os.pipe()[1], number)
        mark(number)
    assert all(map(is_marked, (0, 1, 2)))

found = {}
for name, change in {**RESTORED, **SPOILING}.items():
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        if "of a worker" in sys.argv:
            take_streams()
        before, surroundings = state(), Surroundings()
        nothing = surroundings.restore()
        change()
        spoiled = surroundings.restore()
        after = [] if spoiled else state()
        changed = [] if spoiled else [key for key in before if before[key] != after[key]]
        os.write(writer, json.dumps([nothing, changed, spoiled]).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        text = file.read()
    found[name] = [json.loads(text) if text else None, os.waitpid(pid, 0)[1]]
print(json.dumps(found))
"""


@cache
def found(*streams: str) -> dict[str, Any]:
    command = [sys.executable, "-c", _PROGRAM, *streams]
    ran = commands.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def test_a_timer_that_ran_before_the_jobs_runs_on() -> None:
    """As that of a profiler which the factory has started."""
    program = """
import signal
from taskscheduler_daemon.system.surroundings import Surroundings
signal.setitimer(signal.ITIMER_VIRTUAL, 1000)
surroundings = Surroundings()
signal.alarm(1000)
print(surroundings.restore(), *(signal.getitimer(timer)[0] > 0 for timer in (0, 1, 2)))
"""
    ran = commands.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.stdout.split() == ["[]", "False", "True", "False"], ran.stderr


def test_one_glance_is_enough_again_after_what_was_restored() -> None:
    """Nothing stays changed that would have every job after it cost a look at all parts."""
    program = """
import os, signal
from taskscheduler_daemon.system.surroundings import Surroundings
surroundings = Surroundings()
signal.signal(signal.SIGUSR2, signal.SIG_IGN)
os.environ["LEFT"] = "here"
print(surroundings._glance.sees_change(), surroundings.restore(), surroundings._glance.sees_change())
"""
    ran = commands.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.stdout.split() == ["True", "[]", "False"], ran.stderr


#: what a program was started with; and in the processes of jobs /dev/null and pipes, which are marked
_STREAMS = {"any": (), "of a worker": ("of a worker",)}


@pytest.mark.parametrize("streams", _STREAMS)
@table("name", RESTORED)
def test_what_a_job_changes_is_restored(name: str, streams: str) -> None:
    assert found(*_STREAMS[streams])[name] == [[[], [], []], 0]


@pytest.mark.parametrize("streams", _STREAMS)
@table("name", SPOILING)
def test_what_cannot_be_restored_is_named(name: str, streams: str) -> None:
    (nothing, _, spoiled), code = found(*_STREAMS[streams])[name]
    assert (nothing, bool(spoiled), code) == ([], True, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may take another root directory")
def test_another_root_is_noticed_by_a_worker_that_works_in_the_root() -> None:
    program = (
        "import os, tempfile\n"
        "from taskscheduler_daemon.system.surroundings import Surroundings\n"
        "os.chdir('/')\n"
        "surroundings = Surroundings()\n"
        "assert surroundings.restore() == []\n"
        "os.chroot(tempfile.gettempdir())\n"
        "os.chdir('/')\n"
        "print(*surroundings.restore())\n"
    )
    ran = commands.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "root directory" in ran.stdout
