"""Which processes a record may name for a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.support.tables import table

from taskscheduler.process_identity import started_at
from taskscheduler_daemon.system import kill
from taskscheduler_daemon.system.kill import Signalled, signal_program
from taskscheduler_daemon.system.procfs import user_of


@pytest.fixture
def program() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        yield process
        process.kill()


def test_the_recorded_program_is_signalled(program: subprocess.Popen[bytes]) -> None:
    assert signal_program(program.pid, started_at(program.pid), signal.SIGTERM) is Signalled.SENT
    assert program.wait(10) == -signal.SIGTERM


def test_a_process_that_was_started_at_another_time_is_not(program: subprocess.Popen[bytes]) -> None:
    started = started_at(program.pid)
    assert started is not None
    for wrong in (started - 1, started + 1, None, str(started), float(started), True):
        assert signal_program(program.pid, wrong, signal.SIGKILL) is Signalled.GONE
    assert program.poll() is None


@table("pid", [None, "17", 0, 1, -1, -17, True, 1.5, 2**31, 2**70, [17], {"pid": 17}])
def test_what_is_no_pid_signals_nobody(pid: object) -> None:
    assert signal_program(pid, started_at(1), signal.SIGKILL) is Signalled.GONE


@pytest.mark.parametrize("me", [0, 1000, 65534])
def test_a_process_of_another_user_is_not_signalled_not_even_by_root(
    me: int, program: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kill, "user_of", lambda pid: me + 1)
    monkeypatch.setattr("os.geteuid", lambda: me)
    assert signal_program(program.pid, started_at(program.pid), signal.SIGKILL) is Signalled.FOREIGN
    assert program.poll() is None


def test_the_user_of_a_process_is_read_from_the_system(program: subprocess.Popen[bytes]) -> None:
    assert user_of(program.pid) == os.geteuid()
    program.kill()
    program.wait(10)
    assert user_of(program.pid) is None
