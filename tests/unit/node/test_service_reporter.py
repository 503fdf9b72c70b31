"""When a node tells systemd what: ready once it is, alive while its main loop turns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.service_managers import Listening
from tests.unit.node.fakes import FakeClock

from taskscheduler_daemon.monitoring.service_manager import ServiceManager
from taskscheduler_daemon.node.service_reporter import ServiceReporter

CONNECTS, BUSY = "STATUS=not ready: it connects to its database", "STATUS=ready: 1 of 2 workers busy"


class Vitals:
    """A session that is as the test says."""

    is_stopping = is_draining = False

    def __init__(self) -> None:
        self.found: list[str] = []
        self.turns = True

    def faults(self) -> list[str]:
        return self.found

    def is_turning(self, seconds: float) -> bool:
        assert seconds == 10
        return self.turns

    def workers(self) -> tuple[int, int]:
        return 1, 2


class Stage:
    """A reporter, whose clock a test moves, and what it has said."""

    def __init__(self, systemd: Listening) -> None:
        self._systemd = systemd
        self._clock = FakeClock()
        self.reporter = ServiceReporter(ServiceManager(systemd.address, watchdog=30), self._clock)

    def begin(self) -> Vitals:
        vitals = Vitals()
        self.reporter.vitals = cast(Any, vitals)
        return vitals

    def after(self, seconds: float) -> list[str]:
        self._clock.pause(seconds)
        self.reporter.look()
        return self._systemd.take()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    systemd = Listening(str(tmp_path / "notify"))
    yield Stage(systemd)
    systemd.close()


def test_is_ready_once_as_soon_as_nothing_is_wrong(stage: Stage) -> None:
    assert stage.after(0) == [CONNECTS, "WATCHDOG=1"]
    vitals = stage.begin()
    vitals.found = ["one thing", "another"]
    assert stage.after(2) == ["STATUS=not ready: one thing; another"]
    vitals.found = []
    assert stage.after(0.25) == ["READY=1"]
    assert stage.after(2) == [BUSY]
    vitals.found = ["one thing"]
    assert stage.after(2) == ["STATUS=not ready: one thing"]
    vitals.found = []
    assert stage.after(2) == [BUSY]


def test_is_alive_while_the_main_loop_turns_and_also_without_a_session(stage: Stage) -> None:
    vitals = stage.begin()
    assert "WATCHDOG=1" in stage.after(0)
    assert "WATCHDOG=1" not in stage.after(9)
    assert "WATCHDOG=1" in stage.after(1)
    vitals.turns = False
    assert [one for _ in range(5) for one in stage.after(10) if one == "WATCHDOG=1"] == []
    vitals.turns = True
    assert "WATCHDOG=1" in stage.after(0.25)
    stage.reporter.vitals = None
    assert "WATCHDOG=1" in stage.after(10)


def test_says_that_it_drains_and_once_that_it_stops(stage: Stage) -> None:
    vitals = stage.begin()
    vitals.is_draining = True
    assert "STATUS=draining: 1 of 2 workers busy" in stage.after(0)
    vitals.is_stopping = True
    assert stage.after(1) == ["STOPPING=1"]
    stage.reporter.close()
    assert stage.after(0) == []


def test_one_that_ends_before_anybody_looked_says_so(stage: Stage) -> None:
    stage.reporter.close()
    assert "STOPPING=1" in stage.after(0)
