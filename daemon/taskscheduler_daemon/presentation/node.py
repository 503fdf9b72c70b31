"""Decides how a node is described: whether it counts as up, and what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskscheduler.model.nodes import NodeState, state_of
from taskscheduler_daemon.presentation.durations import brief

UP, SILENT, LOST = "up", "silent", "LOST"


def node_state(node: Mapping[str, Any]) -> str:
    """`up`; `silent`: its lease has ended; `LOST`: others have taken its jobs back."""
    state = state_of(node)
    return LOST if state is NodeState.LOST else str(state)


def workers(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the node last said about its workers."""
    return [worker for worker in node.get("workers") or [] if isinstance(worker, Mapping)]


def busy(node: Mapping[str, Any]) -> int:
    """How many of its slots are taken."""
    running, slots = int(node.get("running") or 0), int(node.get("slots") or 0)
    return int(node.get("busy", min(running, slots)))


def load(taken: int, slots: object, running: int, between: str = "/") -> str:
    """`1/2 busy`, and how many jobs run if that is another number.

    Async ones share a slot, services and others with a worker of their own take none, the next ones wait for a slot.
    """
    said = f"{taken}{between}{slots} busy"
    return said if running == taken else f"{said}, {running} {'job' if running == 1 else 'jobs'} in all"


def serves(node: Mapping[str, Any], queue: str) -> bool:
    """Whether the node takes jobs of this queue."""
    return not node.get("queues") or queue in node["queues"]


def describe(node: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What to say about a node, as names and values."""
    queues = ", ".join(str(name) for name in node.get("queues") or []) or "all"
    silent = float(node.get("silent") or 0)
    return [
        ("", str(node.get("pm") or "")),
        ("", load(busy(node), node.get("slots", "?"), int(node.get("running") or 0))),
        ("queues", queues),
        ("pid", f"{node.get('pid', '?')}@{node.get('host', '?')}"),
        ("beat", f"{brief(max(0.0, silent))} ago"),
        ("", f"v{node['version']}" if node.get("version") else ""),
    ]
