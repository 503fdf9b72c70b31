"""Places: what jobs hold while they may run, and when those of a cancelled job are free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection

from taskscheduler.model.control.keys import LIMIT, RATE, SOLO, is_place_of, key, kind_and_name, place_range, places_in
from taskscheduler.model.control.limits import Span
from taskscheduler.model.document import Document
from taskscheduler.process_identity import is_gone
from taskscheduler.store.control_updates import extend_update
from taskscheduler.store.fence import FENCE_FIELDS, Fence
from taskscheduler.store.lenient_reads import counting, read, read_together
from taskscheduler.store.nodes import NodeStore
from taskscheduler.store.schema import IS_PARKED

_FREE = {"$unset": {"gate": "", "gate_until": ""}}

MOST_COUNTED = 1000  #: jobs of one list that wait

_PLACE = place_range(key(LIMIT, ""))[0][:-1]  #: how the places of all limits begin

_SHOWN = dict.fromkeys(("gate", "limits", "class", "status", "started", "node"), 1)

_HELD = dict.fromkeys(("gate", "gate_until"), 1)


def holders(text: str) -> Document:
    """Matches the jobs that hold a place of a control."""
    kind, name = kind_and_name(text)
    if kind == SOLO:
        return {"gate": name}
    first, end = place_range(text)
    return {"gate": {"$elemMatch": {"$gte": first, "$lt": end}}}


def holders_under(limit: str) -> Document:
    """Matches the jobs that hold a place of a limit; `limit` ends with `*` if it stands for many names."""
    if not limit.endswith("*"):
        return holders(key(LIMIT, limit))
    first = place_range(key(LIMIT, limit[:-1]))[0][:-1]
    return {"gate": {"$elemMatch": {"$gte": first, "$lt": first + "\U0010ffff"}}}


def _between(before: str, names: Iterable[Span]) -> list[Document]:
    """Matches texts that are made of `before`, a name of one of these spans, and what follows a name in a place."""
    return [{"$gte": before + first, "$lt": before + end} for first, end in names]


def _holding(number: int, names: Sequence[Span], most: int) -> list[Document]:
    """Returns a search for jobs that hold a place of a limit of these names, with this number as their `limit`."""
    return [
        {"$match": {"$or": [{"gate": {"$elemMatch": condition}} for condition in _between(_PLACE, names)]}},
        {"$limit": most},
        {"$project": {**_SHOWN, "limit": {"$literal": number}}},
    ]


def _waiting(kind: str, names: Sequence[Span]) -> Document:
    """Matches the jobs that wait in the lists of limits of these names."""
    return {"$or": [{"blocked": condition, **IS_PARKED} for condition in _between(key(kind, ""), names)]}


class PlaceStore:
    """The places that jobs hold."""

    def __init__(self, collection: Collection[Document], nodes: NodeStore) -> None:
        self._collection = collection
        self._nodes = nodes

    def taken(self, text: str) -> list[str]:
        """Returns the places of a control that are taken, after those of cancelled jobs are freed that are gone."""
        found = self._holders(text)
        if any("gate_until" in job and self._free_expired(job) for job in found):
            found = self._holders(text)
        return [name for job in found for name in places_in(job) if is_place_of(text, name)]

    def _holders(self, text: str) -> list[Document]:
        return read(self._collection, lambda jobs: jobs.find(holders(text), _HELD).hint("gate"))

    def free_expired(self, text: str) -> bool:
        """Frees the places of a control that cancelled jobs hold whose process must be gone; returns whether it did."""
        freed = [self._free_expired(job) for job in self._holders(text) if "gate_until" in job]
        return any(freed)

    def _free_expired(self, job: Mapping[str, Any]) -> bool:
        held = self._held(job["_id"])
        if held is None or self._may_run(held):
            return False
        over = {"_id": held["_id"], "gate_until": {"$eq": held["gate_until"]}}
        return self._collection.update_one(over, _FREE).modified_count == 1

    def release(self, fence: Fence) -> Document | None:
        """Frees the places of a cancelled attempt whose process is gone; returns the job if it held some."""
        over = {**fence.named(), "gate_until": {"$exists": True}}
        freed = self._collection.update_one(over, _FREE).modified_count == 1
        return self._job(fence.job_id) if freed else None

    def _job(self, job_id: ObjectId) -> Document | None:
        fields = dict.fromkeys(("solo", "limits", "sequence"), 1)
        return next(iter(read(self._collection, lambda jobs: jobs.find({"_id": job_id}, fields))), None)

    def unstarted(self, claim: str, boot: ObjectId) -> list[Fence]:
        """Returns the jobs that hold places and were cancelled before their claim was read back: they never started."""
        query = {"gate": {"$exists": True}, "claim": claim, "boot": boot, "gate_until": {"$exists": True}}
        found = read(self._collection, lambda jobs: jobs.find(query, FENCE_FIELDS).hint("gate"))
        return [Fence(job["_id"], job["claim"], job.get("attempt", 0)) for job in found]

    def extend(self, fence: Fence, lease: float) -> None:
        """Keeps the places of a cancelled attempt whose process is still there for another lease."""
        self._collection.update_one({**fence.named(), "gate_until": {"$exists": True}}, extend_update(lease))

    def held_under(self, limits: Sequence[Sequence[Span]], most: int) -> list[list[Document]]:
        """Returns for each limit, given by its names, jobs that hold a place of it."""
        found: list[list[Document]] = [[] for _ in limits]
        searches = [_holding(number, names, most) for number, names in enumerate(limits) if names]
        for job in read_together(self._collection, searches):
            found[job.pop("limit")].append(job)
        return found

    def holders_of(self, kind: str, name: str) -> list[Document]:
        """Returns the jobs that hold a place of a control."""
        query = holders(key(kind, name))
        return read(self._collection, lambda jobs: jobs.find(query, _SHOWN).hint("gate").limit(MOST_COUNTED))

    def waiting_under(self, limits: Sequence[Sequence[Span]]) -> list[int]:
        """Returns for each limit, given by its names, how many parked jobs wait; counts 1000 of them at most."""
        found = [0] * len(limits)
        asked = [(number, kind, names) for number, names in enumerate(limits) if names for kind in (LIMIT, RATE)]
        searches = [counting(number, _waiting(kind, names), MOST_COUNTED) for number, kind, names in asked]
        for one in read_together(self._collection, searches):
            found[one["_id"]] = min(MOST_COUNTED, found[one["_id"]] + int(one["jobs"]))
        return found

    def is_held(self, job_id: ObjectId) -> bool:
        """Whether the process of a cancelled job may still be there, so that the job keeps its places."""
        held = self._held(job_id)
        return held is not None and self._may_run(held)

    def _held(self, job_id: Any) -> Document | None:
        """Finds a cancelled job that holds places, and whether its time is `over`."""
        over = {"$lte": ["$gate_until", "$$NOW"]}
        stages: list[Document] = [
            {"$match": {"_id": job_id, "gate_until": {"$exists": True}}},
            {"$project": {"boot": 1, "program": 1, "gate_until": 1, "over": over}},
        ]
        return next(iter(read(self._collection, lambda jobs: jobs.aggregate(stages))), None)

    def _may_run(self, held: Mapping[str, Any]) -> bool:
        """Whether the process of a cancelled job may still be there.

        A node whose heartbeat is newer than `gate_until` has no process of the job, or it would have extended it. A
        node that is cut off may still have one.
        """
        if "program" in held:
            program = held["program"]
            return not held["over"] and not (isinstance(program, Mapping) and is_gone(program))
        node = self._nodes.find(held.get("boot"))
        if node is None or "lost" in node:
            return False
        return not held["over"] or (_is_before(node.get("alive"), held["gate_until"]) and not self._nodes.is_over(node))


def _is_before(alive: Any, until: Any) -> bool:
    """Whether the last sign of life of a node is not after a date; True if one of them is no date."""
    return not (isinstance(alive, datetime) and isinstance(until, datetime)) or alive <= until
