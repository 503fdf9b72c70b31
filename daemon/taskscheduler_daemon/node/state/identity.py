"""NodeIdentity: the name of a node, and the id under which one session of it holds jobs."""

from __future__ import annotations

from dataclasses import dataclass

from bson import ObjectId


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Identifies one session of a node. A node that loses its lease goes on under a new `boot`."""

    boot: ObjectId
    name: str  #: the display name
