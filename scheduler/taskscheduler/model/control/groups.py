"""Groups: jobs that take turns with those of other groups, and the weights that people give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import is_number, plain
from taskscheduler.model.control.keys import GROUP, key
from taskscheduler.model.control.limits import limit_name
from taskscheduler.model.sound import is_text

DEFAULT_WEIGHT = 1

_LEAST, _MOST = 0.01, 1000


@dataclass(frozen=True, slots=True)
class Group:
    """The weight that somebody has set for a group."""

    name: str
    weight: float | int  #: it gets so many turns while a group of weight 1 gets one
    by: str | None = None  #: who has set it: user@host
    at: datetime | None = None  #: when it was set

    @property
    def key(self) -> str:
        """The key under which it is stored."""
        return key(GROUP, self.name)


def new_group(name: Any, weight: Any) -> Group:
    """Returns a group of values that a caller gives; InvalidOptionError names the wrong one."""
    checked = limit_name("name", name)
    if not is_number(weight) or not _LEAST <= weight <= _MOST:
        raise InvalidOptionError(f"option weight must be a number from {_LEAST} to {_MOST}, not {weight!r:.60}")
    return Group(checked, plain(weight))


def read_group(document: Mapping[str, Any]) -> Group | None:
    """Reads a stored group; None if it is none, or cannot be used."""
    name: Any = document.get("name")
    if not is_text(name) or document.get("_id") != key(GROUP, name):
        return None
    try:
        group = new_group(name, document.get("weight"))
    except InvalidOptionError:
        return None
    by, at = document.get("by"), document.get("at")
    return Group(group.name, group.weight, by if is_text(by) else None, at if isinstance(at, datetime) else None)


def stored_group(group: Group) -> dict[str, Any]:
    """Returns a group as it is stored."""
    return {"kind": GROUP, "name": group.name, "weight": group.weight, "by": group.by, "at": group.at}
