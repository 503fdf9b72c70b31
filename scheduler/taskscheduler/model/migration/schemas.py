"""The schema that a node knows: the number of the set of indexes and fields that its version uses.

A node is registered with it, so that what only older nodes need is kept as long as one of them runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from taskscheduler.model.nodes import NodeState, state_of

OLDEST = 1  #: the schema of version 0.1.0, whose nodes do not say which one they know

SCHEMA = 3  #: the schema of this version, with which its nodes are registered

_RELEASES = {OLDEST: "0.1.0"}  #: the last released version of each older schema


def older_nodes(nodes: Iterable[Mapping[str, Any]], schema: int) -> list[str]:
    """Names the nodes that run and know this schema or an older one; see `NodeStore.all`.

    One that is lost or silent does not count. If it comes back, it makes the indexes that it needs again.
    """
    running = (node for node in nodes if state_of(node) in (NodeState.UP, NodeState.DRAINING))
    return sorted(_named(node) for node in running if schema_of(node) <= schema)


def schema_of(node: Mapping[str, Any]) -> int:
    """Returns the schema that a node knows; the oldest if its document does not say."""
    schema = node.get("schema")
    return schema if type(schema) is int else OLDEST


def _named(node: Mapping[str, Any]) -> str:
    """Returns what people need to find a node: its name, its host and the version of taskscheduler that it runs."""
    schema = schema_of(node)
    version = f"version {_RELEASES[schema]}" if schema in _RELEASES else f"schema {schema}"
    return f"{node.get('name')} on {node.get('host', '?')} ({version})"
