"""Drains a node: it takes no new jobs, and ends when those that it has are done."""

from __future__ import annotations

from taskscheduler.errors import NodeNotFoundError
from taskscheduler.model.nodes import NodeState, state_of
from taskscheduler.store import Store


def drain(store: Store, name: str) -> int:
    """Asks the nodes of this name, or the one of this id, to drain; returns how many these are. NodeNotFoundError."""
    named = [node for node in store.nodes.all() if name in (node["name"], str(node["_id"]))]
    found = [node["_id"] for node in named if state_of(node) is not NodeState.LOST]
    if not found:
        raise NodeNotFoundError(name)
    store.nodes.drain(found)
    return len(found)
