"""Mutual exclusion for solo jobs: at most one job per key is runnable. Every operation is one idempotent write.

The process that ends a solo job admits the next one. If it dies in between, the next sweep of a node does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
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
    """The locks of all solo keys: at most one job of each is between WAITING and its end."""

    def __init__(self, collection: Collection[Document], nodes: NodeStore, wakeups: WakeupQueue) -> None:
        self._collection = collection
        self._nodes = nodes
        self._wakeups = wakeups
        self._swept = ""  #: the last key that a sweep has looked at

    def queue_for(self, ids: Sequence[ObjectId]) -> set[str]:
        """Parks the solo jobs among these due jobs, so that they do not hide the others; returns their keys."""
        solo = {"_id": {"$in": list(ids)}, "solo": {"$exists": True}}
        keys = {str(job["solo"]) for job in self._collection.find(solo, {"solo": 1})}
        due = {**solo, "status": from_statuses(Transition.PROMOTE), "$expr": {"$lte": ["$at", "$$NOW"]}}
        self._collection.update_many(due, park_update())
        return keys

    def admit_next(self, keys: Iterable[str]) -> None:
        """Gives the lock of each key to the next parked job, unless another job holds it; that job is then WAITING."""
        for key in keys:
            while not self._admit(key) and self.release_expired(key):
                pass

    def _admit(self, key: str) -> bool:
        """Admits the next parked job; False if another job holds the lock."""
        parked = {"solo": key, "parked_at": {"$exists": True}, "status": from_statuses(Transition.PROMOTE)}
        try:
            job = self._collection.find_one_and_update(
                parked,
                acquire_update(key),
                projection={"queue": 1, "options.force_spawn": 1},
                sort=PARKED_ORDER,
                hint="parked",
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:
            return False
        if job is not None:
            options = job.get("options")
            forced = isinstance(options, Mapping) and options.get("force_spawn") is True
            self._wakeups.jobs_added([job["_id"]], [str(job.get("queue"))], forced=forced)
        return True

    def release(self, fence: Fence) -> None:
        """Releases the lock of a cancelled attempt whose process is gone, and admits the next job of its key."""
        over = {**fence.named(), "gate_until": {"$exists": True}}
        unlock = {"$unset": {"gate": "", "gate_until": ""}}
        before = self._collection.find_one_and_update(over, unlock, projection={"gate": 1})
        if before is not None and isinstance(before.get("gate"), str):
            self.admit_next([before["gate"]])

    def release_unstarted(self, claim: str, boot: ObjectId) -> None:
        """Releases the locks of jobs that were cancelled before their claim was read back; they never started."""
        query = {"gate": {"$gt": ""}, "claim": claim, "boot": boot, "gate_until": {"$exists": True}}
        for job in self._collection.find(query, {"claim": 1, "attempt": 1}).hint("gate"):
            self.release(Fence(job["_id"], job["claim"], job["attempt"]))

    def extend(self, fence: Fence, lease: float) -> None:
        """Extends the lock of a cancelled attempt whose process is still there by another lease."""
        self._collection.update_one({**fence.named(), "gate_until": {"$exists": True}}, extend_update(lease))

    def is_held(self, job_id: ObjectId) -> bool:
        """Whether the process of a cancelled job may still be there, so that the job keeps its lock."""
        held = self._held({"_id": job_id})
        return held is not None and self._may_run(held)

    def release_expired(self, key: str) -> bool:
        """Releases the lock of a key if a cancelled job holds it whose process must be gone; returns whether it did."""
        held = self._held({"gate": key})
        if held is None or self._may_run(held):
            return False
        over = {"_id": held["_id"], "gate": key, "gate_until": held["gate_until"]}
        return self._collection.update_one(over, {"$unset": {"gate": "", "gate_until": ""}}).modified_count == 1

    def _held(self, query: Document) -> Document | None:
        """Finds a cancelled job that holds a lock, and whether its time is `over`."""
        over = {"$lte": ["$gate_until", "$$NOW"]}
        stages: list[Document] = [
            {"$match": {**query, "gate_until": {"$exists": True}}},
            {"$project": {"boot": 1, "program": 1, "gate_until": 1, "over": over}},
        ]
        return next(iter(self._collection.aggregate(stages)), None)

    def _may_run(self, held: Mapping[str, Any]) -> bool:
        """Whether the process of a cancelled job may still be there.

        A node whose heartbeat is newer than `gate_until` has no process of the job, or it would have extended the lock.
        A node that is cut off may still have one.
        """
        if "program" in held:
            program = held["program"]
            return not held["over"] and not (isinstance(program, Mapping) and is_gone(program))
        node = self._nodes.find(held["boot"]) if "boot" in held else None
        if node is None or "lost" in node:
            return False
        return not held["over"] or (_is_before(node.get("alive"), held["gate_until"]) and not self._nodes.is_over(node))

    def sweep(self) -> None:
        """Admits jobs whose predecessor ended without admitting them; of many keys only some per sweep."""
        keys = self._parked_keys()
        if not keys:
            return
        held = self._collection.find({"gate": {"$in": keys}, "gate_until": {"$exists": False}}, {"gate": 1})
        taken = [job["gate"] for job in held]
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


def _is_before(alive: Any, until: Any) -> bool:
    """Whether the last sign of life of a node is not after a date; True if one of them is no date."""
    return not (isinstance(alive, datetime) and isinstance(until, datetime)) or alive <= until
