"""The lists of groups: which of them have jobs that wait, and the first jobs of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pymongo.collection import Collection

from taskscheduler.model.control.keys import PARKED_FIELDS, PLACE_FIELDS, GroupList, group_lists, read_group_list
from taskscheduler.model.document import Document
from taskscheduler.model.lenient import as_stored
from taskscheduler.model.lifecycle import Transition, target
from taskscheduler.store.control.room import ROOM_FIELDS
from taskscheduler.store.control_updates import own_list
from taskscheduler.store.fence import from_statuses
from taskscheduler.store.lenient_reads import counting, read, read_together
from taskscheduler.store.schema import IS_PARKED, PARKED_ORDER

_BACKWARDS = {name: -direction for name, direction in [("blocked", 1), *PARKED_ORDER]}

_SHOWN = dict.fromkeys((*ROOM_FIELDS, "priority", "group", "parked_at", "blocked", "async"), 1)


class Place(NamedTuple):
    """A place in a list."""

    at: datetime
    job_id: Any


class Part(NamedTuple):
    """How many jobs of a list to read, and behind which place."""

    most: int
    after: Place | None = None


class GroupLists:
    """The lists of groups in one database."""

    def __init__(self, collection: Collection[Document]) -> None:
        self._collection = collection

    def waiting(self, queues: Sequence[str] | None = None) -> list[GroupList]:
        """Returns the lists of these queues that have jobs; None: of all.

        MongoDB goes backwards from list to list and reads one entry of each. The entries at the end are there as long
        as the list is; at its beginning there are those of jobs that have left, which it would have to pass over.
        """
        found: list[GroupList | None] = []
        for names in [group_lists()] if queues is None else [group_lists(queue) for queue in queues]:
            found += [read_group_list(one["_id"]) for one in self._ends(names)]
        return [one for one in found if one is not None]

    def _ends(self, names: Mapping[str, str]) -> list[Document]:
        stages: list[Document] = [
            {"$match": {"blocked": names, **IS_PARKED}},
            {"$sort": _BACKWARDS},
            {"$group": {"_id": "$blocked"}},
        ]
        return self._aggregated(stages, hint="blocked")

    def heads(self, parts: Mapping[GroupList, Part], passing: Mapping[str, Any]) -> dict[GroupList, list[Document]]:
        """Returns the first jobs of each of these lists that match `passing`, with their time as `at`."""
        heads: dict[GroupList, list[Document]] = {one: [] for one in parts}
        keys = {one.key: one for one in parts}
        for job in read_together(self._collection, [_reading(one, part, passing) for one, part in parts.items()]):
            heads[keys[job["blocked"]]].append({**job, "at": job["parked_at"]})
        return heads

    def _aggregated(self, stages: list[Document], **options: Any) -> list[Document]:
        return read(self._collection, lambda jobs: jobs.aggregate(stages, **options))

    def give_up(self, names: Sequence[str], seconds: float) -> None:
        """Takes jobs of these classes that fell due so many seconds ago out of their lists: they need no turn."""
        query: Document = {
            "status": from_statuses(Transition.UNPARK),
            "class": {"$in": list(names)},
            "blocked": group_lists(),
            "$expr": {"$lte": ["$parked_at", {"$subtract": ["$$NOW", round(seconds * 1000)]}]},
        }
        free = {name: {"$exists": False} for name in PLACE_FIELDS}
        change = {"status": {"$literal": int(target(Transition.UNPARK))}, "at": "$parked_at", "alive": "$$NOW"}
        wait: list[Document] = [{"$set": change}, {"$unset": [*PARKED_FIELDS]}]
        self._collection.update_many(as_stored({**query, **free}), wait, hint="live_list")
        self._collection.update_many(
            as_stored(query), [{"$set": {"blocked": own_list(but_group=True)}}], hint="live_list"
        )

    def counts(self, lists: Sequence[GroupList], most: int) -> dict[GroupList, int]:
        """Returns how many jobs wait in each of these lists; counts `most` of each at most."""
        searches = [
            counting(number, as_stored({"blocked": one.key, **IS_PARKED}), most) for number, one in enumerate(lists)
        ]
        counted = {one["_id"]: int(one["jobs"]) for one in read_together(self._collection, searches)}
        return {one: counted.get(number, 0) for number, one in enumerate(lists)}


def _reading(one: GroupList, part: Part, passing: Mapping[str, Any]) -> list[Document]:
    query: Document = {
        "blocked": one.key,
        "parked_at": {"$exists": True},
        "status": from_statuses(Transition.TAKE_TURN),
    }
    if part.after is not None:  # then the entries before that are not even passed over
        at, job_id = part.after
        behind = [{"parked_at": at, "_id": {"$gt": job_id}}, {"parked_at": {"$gt": at}}]
        query |= {"priority": one.priority, "$or": behind}
    return [
        {"$match": as_stored({**query, **passing})},
        {"$sort": dict(PARKED_ORDER)},
        {"$limit": part.most},
        {"$project": _SHOWN},
    ]
