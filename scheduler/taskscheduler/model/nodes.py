"""Reads the document of a node: its lease, and whether it is up, silent or lost."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

_LEASE, _GRACE = 30.0, 0.5  #: seconds, of a node that does not say


class NodeState(StrEnum):
    """What the heartbeat of a node says about it."""

    UP = "up"
    SILENT = "silent"  #: its lease has ended
    LOST = "lost"  #: other nodes have taken its jobs back


def lease_of(node: Mapping[str, Any]) -> float:
    """For how many seconds a node may be silent."""
    return float(node.get("lease") or _LEASE)


def grace_of(node: Mapping[str, Any]) -> float:
    """How many seconds its workers get to end when they are told to."""
    return float(node.get("grace", _GRACE))


def silence_of(node: Mapping[str, Any]) -> float:
    """Seconds since its heartbeat, by the server's clock; never negative."""
    return max(0.0, float(node.get("silent") or 0))


def state_of(node: Mapping[str, Any]) -> NodeState:
    """The state of a node as `NodeStore.all` reads it."""
    if node.get("lost"):
        return NodeState.LOST
    return NodeState.SILENT if silence_of(node) > lease_of(node) else NodeState.UP
