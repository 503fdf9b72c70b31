"""Lets solo jobs of the same key in, one after the other. Every operation is one write that may be repeated and raced.

Who ends a job lets the next one in; who dies in between leaves that to the sweeps of the nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Transition
from taskscheduler.process_identity import is_gone
from taskscheduler.store.fence import Fence, from_statuses
from taskscheduler.store.nodes import NodeStore
from taskscheduler.store.schema import PARKED_ORDER
from taskscheduler.store.solo_updates import acquire_update, extend_update, park_update
from taskscheduler.store.wakeups import WakeupQueue

_KEYS_PER_SWEEP = 200


class SoloLocks:
    """The gates of all keys: at most one job of each is between WAITING and its end."""

    def __init__(self, collection: Collection[Document], nodes: NodeStore, messages: WakeupQueue) -> None:
        self._collection = collection
        self._nodes = nodes
        self._messages = messages
        self._swept = ""  #: the last key that a sweep has looked at

    def queue_for(self, ids: Sequence[ObjectId]) -> set[str]:
        """Take those of these jobs that are solo out of the way of the others that are due; their keys."""
        solo = {"_id": {"$in": list(ids)}, "solo": {"$exists": True}}
        keys = {str(job["solo"]) for job in self._collection.find(solo, {"solo": 1})}
        due = {**solo, "status": from_statuses(Transition.PROMOTE), "$expr": {"$lte": ["$at", "$$NOW"]}}
        self._collection.update_many(due, park_update())
        return keys

    def admit_next(self, keys: Iterable[str]) -> None:
        """For each key: make the next parked job wait for a slot, unless it is another one's turn."""
        for key in keys:
            while not self._let_in(key) and self.release_expired(key):
                pass

    def _let_in(self, key: str) -> bool:
        """Whether nothing more is to be done: somebody was let in, or nobody is parked."""
        parked = {"solo": key, "parked_at": {"$exists": True}, "status": from_statuses(Transition.PROMOTE)}
        try:
            job = self._collection.find_one_and_update(
                parked, acquire_update(key), sort=PARKED_ORDER, hint="parked", return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:
            return False
        if job is not None:
            self._messages.jobs_added([job["_id"]], [job["queue"]], forced=job["options"]["force_spawn"])
        return True

    def release(self, fence: Fence) -> None:
        """Nothing is left of an attempt that was ended from outside: the next of its key may begin."""
        over = {**fence.named(), "gate_until": {"$exists": True}}
        before = self._collection.find_one_and_update(over, {"$unset": {"gate": "", "gate_until": ""}})
        if before is not None:
            self.admit_next([before["gate"]])

    def release_unstarted(self, claim: str, boot: ObjectId) -> None:
        """Jobs that were ended from outside before the node which had claimed them could know that it had."""
        query = {"gate": {"$gt": ""}, "claim": claim, "boot": boot, "gate_until": {"$exists": True}}
        for job in self._collection.find(query, {"claim": 1, "attempt": 1}).hint("gate"):
            self.release(Fence(job["_id"], job["claim"], job["attempt"]))

    def extend(self, fence: Fence, lease: float) -> None:
        """Something is left of an attempt that was ended from outside: it keeps its turn as long as this node lives."""
        self._collection.update_one({**fence.named(), "gate_until": {"$exists": True}}, extend_update(lease))

    def is_held(self, job_id: ObjectId) -> bool:
        """Whether a job that was ended from outside may still be at work."""
        held = self._held({"_id": job_id})
        return held is not None and self._may_be_left(held)

    def release_expired(self, key: str) -> bool:
        """Whether the gate was held for a job only of which nothing can be left any more, and is free."""
        held = self._held({"gate": key})
        if held is None or self._may_be_left(held):
            return False
        over = {"_id": held["_id"], "gate": key, "gate_until": held["gate_until"]}
        return self._collection.update_one(over, {"$unset": {"gate": "", "gate_until": ""}}).modified_count == 1

    def _held(self, query: Document) -> Document | None:
        """A job that was ended from outside and has the gate, and whether its time is `over`."""
        over = {"$lte": ["$gate_until", "$$NOW"]}
        stages: list[Document] = [
            {"$match": {**query, "gate_until": {"$exists": True}}},
            {"$project": {"boot": 1, "program": 1, "gate_until": 1, "over": over}},
        ]
        return next(iter(self._collection.aggregate(stages)), None)

    def _may_be_left(self, held: Mapping[str, Any]) -> bool:
        """A node that has beaten since the time was over knows nothing of the job; one that is cut off may have it."""
        if "program" in held:
            return not held["over"] and not is_gone(held["program"])
        node = self._nodes.find(held["boot"]) if "boot" in held else None
        if node is None or "lost" in node:
            return False
        return not held["over"] or (node["alive"] <= held["gate_until"] and not self._nodes.is_over(node))

    def sweep(self) -> None:
        """Let in who was forgotten. Of many keys only some at a time."""
        keys = self._parked_keys()
        if not keys:
            return
        held = self._collection.find({"gate": {"$in": keys}, "gate_until": {"$exists": False}}, {"gate": 1})
        taken = {job["gate"] for job in held}
        self.admit_next(key for key in keys if key not in taken)

    def _parked_keys(self) -> list[str]:
        keys: list[str] = []
        while len(keys) < _KEYS_PER_SWEEP:
            query = {"solo": {"$gt": self._swept}, "parked_at": {"$exists": True}}
            found = self._collection.find(query, {"solo": 1}).sort("solo", 1).hint("parked").limit(1)
            self._swept = next((str(job["solo"]) for job in found), "")
            if not self._swept:
                break
            keys.append(self._swept)
        return keys
