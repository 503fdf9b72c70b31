"""The register of queue nodes: one document per start of a node, whose heartbeat is the lease on all its jobs.

A node that another node has declared lost (`lost: true`) can never renew its lease again. Its next heartbeat shows it;
the node then stops its jobs and goes on under a new identity.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.database import Database

from taskscheduler.model.document import Document
from taskscheduler.model.migration.schemas import SCHEMA
from taskscheduler.model.nodes import NO_BEAT, lease_of, sound_node
from taskscheduler.model.options import NODES
from taskscheduler.store.driver_errors import StoreError, is_refused_write
from taskscheduler.store.lenient_reads import change_one, read, seconds_since


class Beat(NamedTuple):
    """The answer to a heartbeat."""

    at: datetime  #: the time of the server
    drains: bool  #: whether somebody has asked the node to drain


class NodeStore:
    """The registered nodes and their heartbeats."""

    def __init__(self, database: Database[Document]) -> None:
        self._collection = database[NODES]

    def register(self, boot: ObjectId, facts: Mapping[str, Any]) -> None:
        """Registers a node with its first heartbeat."""
        self._collection.update_one(
            {"_id": boot},
            {"$set": {**facts, "beat": 0, "schema": SCHEMA}, "$currentDate": {"alive": True, "started": True}},
            upsert=True,
        )

    def beat(self, boot: ObjectId, facts: Mapping[str, Any]) -> Beat | None:
        """Renews the lease; None if the node was declared lost or is not there."""
        moved: Document = {"$set": dict(facts), "$currentDate": {"alive": True}}
        try:
            return self._beaten(boot, {**moved, "$inc": {"beat": 1}})
        except StoreError as error:
            if not is_refused_write(error):
                raise
        # somebody has changed the document; any other number than the last one is a heartbeat
        moved["$set"]["beat"] = secrets.randbelow(2**31)
        return self._beaten(boot, moved)

    def _beaten(self, boot: ObjectId, update: Document) -> Beat | None:
        query, after = {"_id": boot, "lost": {"$exists": False}}, ReturnDocument.AFTER
        node = change_one(self._collection, query, update, projection={"alive": 1, "drain": 1}, return_document=after)
        return None if node is None else Beat(node["alive"], bool(node.get("drain")))

    def drain(self, boots: Sequence[ObjectId]) -> None:
        """Asks nodes to drain: each learns it from the answer to its next heartbeat."""
        self._collection.update_many({"_id": {"$in": list(boots)}}, {"$set": {"drain": True}})

    def remove(self, boot: ObjectId) -> None:
        """Removes a node that has stopped and handed everything back."""
        self._collection.delete_one({"_id": boot})

    def all(self) -> list[Document]:
        """Returns every node of the last day; `silent` is the seconds since its heartbeat by the server's clock."""
        return self._with_silence([{"$sort": {"started": 1}}])

    def _with_silence(self, stages: list[Document]) -> list[Document]:
        pipeline = [*stages, {"$set": {"silent": seconds_since("$alive")}}]
        found = read(self._collection, lambda nodes: nodes.aggregate(pipeline))
        return [sound_node(node) for node in found if isinstance(node["_id"], ObjectId)]

    def find(self, boot: Any) -> Document | None:
        """Returns one node as `all` does; None if it has signed off, or `boot` is the id of none."""
        if not isinstance(boot, ObjectId):
            return None
        return next(iter(self._with_silence([{"$match": {"_id": boot}}])), None)

    def is_over(self, node: Mapping[str, Any]) -> bool:
        """Whether the lease of a node has ended. If so the node is declared lost, so it stays ended."""
        if "lost" in node:
            return True
        silent = float(node["silent"]) > lease_of(node)
        return silent and self.declare_lost(node["_id"], node["beat"])

    def declare_lost(self, boot: ObjectId, beat: int) -> bool:
        """Ends the lease of a node whose heartbeat stood still at `beat`; False if it moved in the meantime."""
        stood: Any = beat if beat != NO_BEAT else {"$not": {"$type": "number"}}
        result = self._collection.update_one({"_id": boot, "beat": stood}, {"$set": {"lost": True}})
        return result.matched_count == 1
