"""Finds the classes of waiting jobs that no node knows. It looks at few jobs, however many wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from taskscheduler.model.control.known import Coverage, UnknownClass, coverage
from taskscheduler.model.nodes import NodeState, state_of
from taskscheduler.store.overview import ClusterOverview

_MOST_FOUND = 10

_MOST_LOOKED_AT = 50  #: classes; a program that runs is of a class that no node knows, too


def unknown_classes(overview: ClusterOverview, nodes: Sequence[Mapping[str, Any]]) -> list[UnknownClass]:
    """Returns the first classes of waiting jobs that these nodes do not know; none if no node is up."""
    up = [node for node in nodes if state_of(node) is NodeState.UP]
    found: list[UnknownClass] = []
    for name in _suspects(overview, up) if up else ():
        queue = overview.waits_in(name)
        if queue is not None and coverage(name, queue, up) is Coverage.UNKNOWN:
            found.append(UnknownClass(name, queue))
        if len(found) == _MOST_FOUND:
            break
    return found


def _suspects(overview: ClusterOverview, up: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yields classes that a node has met without knowing them, and live ones that none of them names."""
    met = {name for node in up for name in node.get("unknown", ())}
    yield from sorted(met)
    if all("jobs" in node for node in up):
        named = met.union(*(node["jobs"] for node in up))
        name = ""
        for _ in range(_MOST_LOOKED_AT):
            following = overview.live_class(name, named)
            if following is None:
                return
            yield (name := following)
