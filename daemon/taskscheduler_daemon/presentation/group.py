"""How a group looks: in a list, and as a record for programs."""

from __future__ import annotations

from typing import Any

from taskscheduler.operations.control.groups import MOST_COUNTED, GroupUse
from taskscheduler_daemon.presentation.limit import at_most
from taskscheduler_daemon.presentation.text import local

COLUMNS = ("GROUP", "WEIGHT", "WAITING", "SET BY", "SET")


def row(use: GroupUse) -> tuple[str, ...]:
    """Returns the cells of a group, in the order of COLUMNS."""
    return (use.name, f"{use.weight:g}", at_most(use.waiting, MOST_COUNTED), use.group.by or "", local(use.group.at))


def record(use: GroupUse) -> dict[str, Any]:
    """Returns a group for programs."""
    return {
        "name": use.name,
        "weight": use.weight,
        "waiting": use.waiting,
        "by": use.group.by,
        "at": use.group.at,
    }
