"""Under systemd a node and the web process say when they are ready, that they live, and that they stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess, children
from tests.support.service_managers import Listening, listening

WATCHDOG = 1.5  #: seconds

#: SIGHUP hangs the main loop
HANGING = (
    "import time; from taskscheduler_daemon.node import session; session.reopen_log_files = lambda: time.sleep(99)"
)

StartNode = Callable[..., NodeProcess]


def silent_for(systemd: Listening, seconds: float) -> bool:
    """Whether no sign of life comes for so long."""
    systemd.take()
    time.sleep(seconds)  # nothing to wait for: that nothing comes is what is tested
    return "WATCHDOG=1" not in systemd.take()


def test_a_node_is_ready_lives_and_stops(
    start_node: StartNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(tmp_path, monkeypatch, WATCHDOG) as systemd:
        node = start_node()
        systemd.wait_for("READY=1", "WATCHDOG=1", "STATUS=ready: 0 of ")
        before = node.manager
        os.kill(before, signal.SIGKILL)
        eventually(lambda: children(node.pid) not in ([], [before]), 60, "another manager")
        systemd.forget()
        systemd.wait_for("WATCHDOG=1")
        node.send(signal.SIGTERM)
        systemd.wait_for("STOPPING=1")
        assert node.process.wait(60) == 0
        systemd.take()
        assert systemd.heard.count("READY=1") == 0
        assert systemd.heard.count("STOPPING=1") == 1


def test_a_node_whose_main_loop_hangs_gives_no_sign_of_life(
    start_node: StartNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(tmp_path, monkeypatch, WATCHDOG) as systemd:
        node = start_node(prelude=HANGING)
        systemd.wait_for("WATCHDOG=1")
        node.send(signal.SIGHUP)
        eventually(lambda: silent_for(systemd, 2 * WATCHDOG), 30, "silence")
        assert silent_for(systemd, 2 * WATCHDOG)


def test_the_web_process_is_ready_lives_and_stops(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(tmp_path, monkeypatch, WATCHDOG) as systemd:
        command = [str(Path(sys.executable).with_name("taskscheduler")), "web", "--port", "0", "--uri", uri]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=tmp_path) as process:
            try:
                systemd.wait_for("READY=1", "WATCHDOG=1")
                systemd.forget()
                systemd.wait_for("WATCHDOG=1")
                process.send_signal(signal.SIGSTOP)
                eventually(lambda: silent_for(systemd, WATCHDOG), 30, "silence")
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGTERM)
                systemd.wait_for("STOPPING=1")
                assert process.wait(60) == 0
            finally:
                process.kill()
