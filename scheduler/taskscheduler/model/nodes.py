"""Reads the document of a node: its lease, and whether it is up, silent or lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

NO_BEAT = -1  #: the beat of a node in whose document it is no number

_LEASE, _GRACE = 30.0, 0.5  #: seconds, for a node whose document lacks them

_LONGEST = 10**10


class NodeState(StrEnum):
    """The state of a node, by its heartbeat."""

    UP = "up"
    SILENT = "silent"  #: its lease has ended
    LOST = "lost"  #: other nodes rescue its jobs


def sound_node(node: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the document of a node without the values that are not what they should be, so that defaults count."""
    sound = {name: value for name, value in node.items() if name not in _SHAPES or _SHAPES[name](value)}
    return {"name": str(node["_id"]), "beat": NO_BEAT, "silent": 0.0, **sound}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LONGEST


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


_SHAPES: Mapping[str, Callable[[Any], bool]] = {
    "name": lambda value: isinstance(value, str),
    "beat": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "silent": lambda value: isinstance(value, int | float),
    "lease": lambda value: _is_number(value) and value > 0,
    "grace": _is_number,
    "slots": _is_count,
    "running": _is_count,
    "busy": _is_count,
    "queues": _are_names,
    "workers": lambda value: isinstance(value, list) and all(isinstance(worker, Mapping) for worker in value),
}


def lease_of(node: Mapping[str, Any]) -> float:
    """Returns the lease of a node: the seconds for which it may be silent."""
    return float(node.get("lease") or _LEASE)


def grace_of(node: Mapping[str, Any]) -> float:
    """Returns the seconds that its workers get to end after an interrupt."""
    return float(node.get("grace", _GRACE))


def silence_of(node: Mapping[str, Any]) -> float:
    """Returns the seconds since its heartbeat, by the server's clock; never negative."""
    return max(0.0, float(node.get("silent") or 0))


def state_of(node: Mapping[str, Any]) -> NodeState:
    """Returns the state of a node from its document, as `NodeStore.all` reads it."""
    if node.get("lost"):
        return NodeState.LOST
    return NodeState.SILENT if silence_of(node) > lease_of(node) else NodeState.UP
