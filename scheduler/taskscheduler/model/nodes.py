"""Reads the document of a node: its lease, and whether it is up, silent or lost."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

_LEASE, _GRACE = 30.0, 0.5  #: seconds, for a node whose document lacks them


class NodeState(StrEnum):
    """The state of a node, by its heartbeat."""

    UP = "up"
    SILENT = "silent"  #: its lease has ended
    LOST = "lost"  #: other nodes rescue its jobs


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
