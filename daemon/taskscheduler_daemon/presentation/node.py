"""Describes a node: its state, its slots, its queues and its workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskscheduler.model.nodes import NodeState, state_of
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.text import plural

UP, SILENT, LOST = "up", "silent", "LOST"


def node_state(node: Mapping[str, Any]) -> str:
    """Returns `up`, `silent` (its lease has expired) or `LOST` (other nodes have rescued its jobs)."""
    state = state_of(node)
    return LOST if state is NodeState.LOST else str(state)


def workers(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Returns the workers that the node reported with its last heartbeat."""
    return [worker for worker in node.get("workers") or [] if isinstance(worker, Mapping)]


def busy(node: Mapping[str, Any]) -> int:
    """Returns how many of its slots are taken."""
    running, slots = int(node.get("running") or 0), int(node.get("slots") or 0)
    return int(node.get("busy", min(running, slots)))


def load(taken: int, slots: object, running: int, between: str = "/") -> str:
    """Returns the load, such as `1/2 busy`, and the number of running jobs if it differs.

    Async jobs share a slot; services and other jobs with a worker of their own take none.
    """
    text = f"{taken}{between}{slots} busy"
    return text if running == taken else f"{text}, {plural(running, 'job')} in all"


def serves(node: Mapping[str, Any], queue: str) -> bool:
    """Returns whether the node runs jobs of this queue."""
    return not node.get("queues") or queue in node["queues"]


def describe(node: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns facts about a node as names and values; some names are empty."""
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
