"""Reads the document of a node: its lease, and whether it is up, draining, silent or lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from bson import ObjectId

from taskscheduler.model.sound import is_number

NO_BEAT = -1  #: the beat of a node in whose document it is no number

_LEASE, _GRACE = 30.0, 0.5  #: seconds, for a node whose document lacks them

_LONGEST = 10**10

_LARGEST = 2**50  #: bytes

Shape = Callable[[Any], bool]  #: whether a stored value is what it should be


class NodeState(StrEnum):
    """The state of a node, by its heartbeat."""

    UP = "up"
    DRAINING = "draining"  #: it takes no new jobs, and ends when those that it has are done
    SILENT = "silent"  #: its lease has ended
    LOST = "lost"  #: other nodes rescue its jobs


def sound_node(node: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the document of a node without the values that are not what they should be, so that defaults count."""
    sound = {"name": str(node["_id"]), "beat": NO_BEAT, "silent": 0.0, **_fitting(node, _SHAPES)}
    if "workers" in sound:
        sound["workers"] = [_fitting(worker, _WORKER_SHAPES) for worker in sound["workers"]]
    return sound


def _fitting(document: Mapping[str, Any], shapes: Mapping[str, Shape]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in shapes or shapes[name](value)}


def _is_amount(value: Any) -> bool:
    return is_number(value) and 0 <= value < _LONGEST


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_amount(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(type(name) is str for name in value)


def _are_counts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_count, value.values()))


_SHAPES: Mapping[str, Shape] = {
    "name": _is_text,
    "version": _is_text,
    "started": lambda value: isinstance(value, datetime),
    "alive": lambda value: isinstance(value, datetime),
    "beat": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "silent": is_number,
    "lease": lambda value: _is_amount(value) and value > 0,
    "grace": _is_amount,
    "slots": _is_count,
    "forced": _is_count,
    "async_jobs": _is_count,
    "running": _is_count,
    "busy": _is_count,
    "queues": _are_names,
    "jobs": _are_names,
    "unknown": _are_names,
    "workers": lambda value: isinstance(value, list) and all(isinstance(worker, Mapping) for worker in value),
    "ended": _are_counts,
}

_WORKER_SHAPES: Mapping[str, Shape] = {
    "pid": _is_count,
    "job": lambda value: isinstance(value, ObjectId),
    "jobs": _is_count,
    "seconds": _is_amount,
    "cpu": _is_amount,
    "memory": lambda value: is_number(value) and 0 <= value < _LARGEST,
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


def age_of(node: Mapping[str, Any]) -> float | None:
    """Returns the seconds since its start, by the server's clock; None if its document does not say."""
    if "started" not in node or "alive" not in node:
        return None
    return max(0.0, float((node["alive"] - node["started"]).total_seconds()) + silence_of(node))


def state_of(node: Mapping[str, Any]) -> NodeState:
    """Returns the state of a node from its document, as `NodeStore.all` reads it."""
    if node.get("lost"):
        return NodeState.LOST
    if silence_of(node) > lease_of(node):
        return NodeState.SILENT
    return NodeState.DRAINING if node.get("drain") else NodeState.UP


def serves(node: Mapping[str, Any], queue: str) -> bool:
    """Returns whether a node runs jobs of this queue."""
    return not node.get("queues") or queue in node["queues"]
