"""Decides whether a node that is up runs the jobs of a class in a queue: it serves the queue and knows the class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Any, NamedTuple

from taskscheduler.model.nodes import NodeState, serves, state_of

CURE = "start one: taskscheduler node --uri URI --jobs MODULE"


class Coverage(Enum):
    """Whether the nodes that are up run the jobs of a class in a queue."""

    KNOWN = auto()  #: one of them does, as far as they say what they know
    UNKNOWN = auto()  #: some serve the queue, and none of these knows the class
    UNSERVED = auto()  #: none serves the queue


class UnknownClass(NamedTuple):
    """A class of which a job waits in a queue whose nodes do not know it."""

    name: str
    queue: str


def coverage(name: str, queue: str, nodes: Iterable[Mapping[str, Any]]) -> Coverage:
    """Returns whether those of these nodes that are up run the jobs of this class in this queue."""
    serving = [node for node in nodes if state_of(node) is NodeState.UP and serves(node, queue)]
    if not serving:
        return Coverage.UNSERVED
    return Coverage.KNOWN if any(knows(node, name) for node in serving) else Coverage.UNKNOWN


def knows(node: Mapping[str, Any], name: str) -> bool:
    """Returns whether a node knows a class, or does not say: it names those it knows, and those its workers refused."""
    return name not in node.get("unknown", ()) and ("jobs" not in node or name in node["jobs"])


def why_unserved(nodes: Iterable[Mapping[str, Any]], queue: str, name: str) -> str | None:
    """Returns why no node that is up runs a waiting job of this queue and name; None if one does."""
    found = coverage(name, queue, nodes)
    if found is Coverage.UNSERVED:
        return f"no node that is up serves the queue {queue}; {CURE}"
    if found is Coverage.UNKNOWN:
        return f"no node that serves the queue {queue} knows the job {name!r:.80}; {CURE}"
    return None
