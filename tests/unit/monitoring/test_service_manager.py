"""What systemd is told arrives as it expects it, and nothing is done for others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.service_managers import Listening
from tests.support.tables import table

from taskscheduler_daemon.monitoring.service_manager import ServiceManager


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Listening]:
    found = Listening(str(tmp_path / "notify"))
    yield found
    found.close()


def test_says_what_systemd_understands(systemd: Listening) -> None:
    manager = ServiceManager(systemd.address)
    assert manager.ready()
    assert manager.alive()
    assert manager.stopping()
    assert systemd.take() == ["READY=1", "WATCHDOG=1", "STOPPING=1"]


def test_says_a_status_once_and_in_one_line(systemd: Listening) -> None:
    manager = ServiceManager(systemd.address)
    manager.status("a\nREADY=1\x1b[2J")
    manager.status("a\nREADY=1\x1b[2J")
    manager.status("b" * 900)
    assert systemd.take() == ["STATUS=a READY=1 [2J", "STATUS=" + "b" * 200]


def test_speaks_to_sockets_without_a_file() -> None:
    systemd = Listening(f"@taskscheduler-test-{os.getpid()}")
    try:
        assert ServiceManager(systemd.address).ready()
        assert systemd.take() == ["READY=1"]
    finally:
        systemd.close()


def test_one_that_does_not_listen_neither_blocks_nor_ends_the_process(systemd: Listening, tmp_path: Path) -> None:
    assert not ServiceManager(str(tmp_path / "nobody")).ready()
    assert not ServiceManager("/" + "x" * 500).ready()
    manager, sent = ServiceManager(systemd.address), 0
    while manager.alive():
        sent += 1
        assert sent < 10_000
    manager.status("it is told later")
    systemd.take()
    manager.status("it is told later")
    assert systemd.take() == ["STATUS=it is told later"]


@table(
    ("variables", "watchdog"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": ""}, None),
        ({"NOTIFY_SOCKET": "vsock:2:9"}, None),
        ({"NOTIFY_SOCKET": "relative"}, None),
        ({"NOTIFY_SOCKET": "/x"}, 0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1500000"}, 1.5),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, 0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"}, 0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "-1"}, 0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"}, 0),
    ],
)
def test_reads_the_variables_of_systemd_and_takes_them_away(variables: dict[str, str], watchdog: float | None) -> None:
    left = {**variables, "HOME": "/"}
    manager = ServiceManager.of_environment(left)
    assert (None if manager is None else manager.watchdog or 0) == watchdog
    assert left == {"HOME": "/"}
