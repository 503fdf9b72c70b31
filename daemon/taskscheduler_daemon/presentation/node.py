"""Describes a node: its state, its slots, its queues and its workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskscheduler.model.control.known import UnknownClass
from taskscheduler.model.nodes import NodeState, age_of, state_of
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.text import plural, size

UP, DRAINING, SILENT, LOST = "up", "draining", "silent", "LOST"

COLUMNS = ("NAME", "HOST", "VERSION", "STATE", "QUEUES", "SLOTS", "SINCE", "JOBS")

UNKNOWN_CURE = "start a node with --jobs and the module that defines it"


def node_state(node: Mapping[str, Any]) -> str:
    """Returns `up`, `draining` (it takes no new jobs), `silent` (its lease has expired) or `LOST`.

    The other nodes have rescued the jobs of one that is lost.
    """
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


def describe(node: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns facts about a node as names and values; some names are empty."""
    silent = float(node.get("silent") or 0)
    return [
        ("", str(node.get("pm") or "")),
        ("", load(busy(node), node.get("slots", "?"), int(node.get("running") or 0))),
        ("queues", _queues(node)),
        ("pid", f"{node.get('pid', '?')}@{node.get('host', '?')}"),
        ("beat", f"{brief(max(0.0, silent))} ago"),
        ("version", str(node.get("version") or "")),
    ]


def node_row(node: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns a node as the cells of a list, below COLUMNS."""
    age = age_of(node)
    return (
        str(node.get("name")),
        str(node.get("host", "?")),
        str(node.get("version") or "-"),
        node_state(node),
        _queues(node),
        load(busy(node), node.get("slots", "?"), int(node.get("running") or 0)),
        "?" if age is None else brief(age),
        str(len(node["jobs"])) if "jobs" in node else "?",
    )


def node_record(node: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a node for JSON."""
    return {**node, "state": node_state(node)}


def worker_usage(worker: Mapping[str, Any]) -> str:
    """Returns the memory and the CPU time of a worker at the last heartbeat, such as `88 MiB, cpu 31%`."""
    memory, cpu = worker.get("memory"), worker.get("cpu")
    parts = ["" if not memory else size(memory), "" if cpu is None else f"cpu {cpu:.0f}%"]
    return ", ".join(part for part in parts if part)


def unknown_text(unknown: UnknownClass) -> str:
    """Returns what is wrong with a job that no node knows; UNKNOWN_CURE helps."""
    return f"no node that serves the queue {unknown.queue} knows the job {unknown.name}, which waits there"


def unknown_warning(unknown: UnknownClass) -> str:
    """Returns the same with the cure."""
    return f"{unknown_text(unknown)}; {UNKNOWN_CURE}"


def _queues(node: Mapping[str, Any]) -> str:
    return ", ".join(str(name) for name in node.get("queues") or []) or "all"
