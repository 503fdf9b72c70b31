"""FailureDetector: finds lost nodes by two looks, so that no clock but our own monotonic one has to be right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bson import ObjectId


class FailureDetector:
    """Remembers since when the heartbeat of each node has stood still."""

    def __init__(self, default_lease: float) -> None:
        self._default_lease = default_lease
        self._seen: dict[ObjectId, tuple[int, float]] = {}
        self.next_at = float("inf")  #: when the next of them may be lost; a look before that finds nothing new

    def lost(self, nodes: Iterable[Mapping[str, Any]], owners: set[ObjectId], now: float) -> list[ObjectId]:
        """Returns the lost nodes: silent for a whole lease since we first saw this heartbeat, or declared lost.

        `owners` are the nodes that hold running jobs; one without a document counts as silent since we first saw it.
        """
        beats = {node["_id"]: node for node in nodes}
        looked = {boot: self._look(boot, beats.get(boot), now) for boot in {*beats, *owners}}
        self._seen = {boot: seen for boot, (seen, _) in looked.items()}
        self.next_at = min((until for _, until in looked.values() if until > now), default=float("inf"))
        return [boot for boot, (_, until) in looked.items() if until <= now]

    def _look(self, boot: ObjectId, node: Mapping[str, Any] | None, now: float) -> tuple[tuple[int, float], float]:
        """Returns the heartbeat of a node and when we first saw it, and until when the node is not lost."""
        beat = -1 if node is None else int(node["beat"])
        before, since = self._seen.get(boot, (None, now))
        if beat != before:
            since = now
        lease = self._default_lease if node is None else float(node.get("lease", self._default_lease))
        declared = node is not None and "lost" in node
        return (beat, since), now if declared else since + lease
