"""What `daemon/deploy/` starts: the very arguments and variables of each unit and container, and its time to end."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.pages import ROOT

DEPLOY = ROOT / "daemon" / "deploy"
UNITS = DEPLOY / "systemd"

#: what a unit calls the command, and the folder of its credentials
_COMMAND = "/srv/taskscheduler/.venv/bin/taskscheduler"


@dataclass(frozen=True)
class Started:
    """A process as a supervisor starts and stops it."""

    name: str
    arguments: list[str]  #: after `taskscheduler`
    environment: dict[str, str]
    grace: float  #: seconds from SIGTERM to SIGKILL
    files: dict[str, str] = field(default_factory=dict)  #: what it reads, by the names that arguments call {name}

    def __str__(self) -> str:
        return self.name


def settings(unit: Path) -> dict[str, str]:
    """The settings of a unit by their names; the last one counts."""
    return dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE))


def of_unit(unit: Path) -> Started:
    """What systemd runs for a unit, with the variables that its first lines name."""
    found = settings(unit)
    command, *arguments = shlex.split(found["ExecStart"])
    assert command == _COMMAND
    named = dict(re.findall(r"^#   (TASKSCHEDULER_\w+)=(.*)$", unit.read_text(), re.MULTILINE))
    return Started(unit.stem, arguments, named, float(found["TimeoutStopSec"]))
