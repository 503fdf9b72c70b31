"""The units for systemd: it takes them, they confine the process, and their times fit how a node stops."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.deploying import UNITS, of_unit, settings

from taskscheduler_daemon.cli.group import cli
from taskscheduler_daemon.node.options import NodeOptions

ANALYZE = shutil.which("systemd-analyze")

MOST_EXPOSED = 20  #: tenths, of 100, as `systemd-analyze security` counts

UNIT_FILES = sorted(UNITS.glob("*.service"))

each = pytest.mark.parametrize("unit", UNIT_FILES, ids=lambda unit: str(unit.stem))
with_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed")


def analyzed(*arguments: str) -> tuple[int, str]:
    assert ANALYZE is not None
    ran = subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, timeout=120)
    return ran.returncode, ran.stdout + ran.stderr


def runnable(unit: Path, folder: Path) -> str:
    """A copy of the unit whose command exists on this machine."""
    copy = folder / unit.name
    copy.write_text(unit.read_text().replace("/srv/taskscheduler/.venv/bin/taskscheduler", "/bin/true"))
    return str(copy)


def test_the_units_are_found() -> None:
    assert [unit.stem for unit in UNIT_FILES] == ["taskscheduler-node", "taskscheduler-web"]


@with_systemd
@each
def test_systemd_takes_a_unit_and_finds_it_confined(unit: Path, tmp_path: Path) -> None:
    copy = runnable(unit, tmp_path)
    assert analyzed("verify", copy) == (0, "")
    code, found = analyzed("security", "--offline=yes", f"--threshold={MOST_EXPOSED}", copy)
    assert code == 0, found


@with_systemd
def test_a_wrong_unit_is_found(tmp_path: Path) -> None:
    copy = Path(runnable(UNIT_FILES[0], tmp_path))
    copy.write_text(copy.read_text().replace("WatchdogSec=30", "WatchdogSec=soon"))
    assert "ignoring: soon" in analyzed("verify", str(copy))[1]


@each
def test_a_unit_waits_until_its_process_is_ready_lives_and_has_stopped(unit: Path) -> None:
    found, started = settings(unit), of_unit(unit)
    assert (found["Type"], found["KillMode"], found["Restart"]) == ("notify", "mixed", "on-failure")
    assert float(found["WatchdogSec"]) >= 10
    assert started.arguments[0] in cli.list_commands(None)  # type: ignore[arg-type]  # it needs no context


def test_the_node_has_the_time_that_it_may_take_to_stop() -> None:
    """A stop takes as long as its jobs may take, and then the lease, if the database does not answer."""
    node = of_unit(UNIT_FILES[0])
    assert node.grace >= NodeOptions.of({}).stop_timeout + 30 + 10
    assert settings(UNIT_FILES[0])["OOMPolicy"] == "continue"
