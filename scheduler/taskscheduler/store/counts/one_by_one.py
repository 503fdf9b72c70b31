"""Counts the jobs that wait in queues by queries, a queue at a time: for names that are no texts, and older indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.collection import Collection

from taskscheduler.model.document import Document
from taskscheduler.model.lenient import as_stored, smallest_name
from taskscheduler.model.lifecycle import Status
from taskscheduler.store.counts.backlogs import MOST_QUEUES, Backlog
from taskscheduler.store.counts.shares import FIRST, share
from taskscheduler.store.lenient_reads import read, read_together, seconds_since

_NEXT = "next"  #: the id of what is found of the next queue


class BacklogsOneByOne:
    """Reads the backlogs of one job store. Raises the driver's errors."""

    def __init__(self, jobs: Collection[Document]) -> None:
        self._jobs = jobs

    def first(self) -> list[Backlog]:
        """Returns the backlogs of the first queues by name; `read_backlogs` says how they are counted."""
        found: dict[str, Backlog] = {}
        name = self._next_queue("")
        while name is not None and name not in found and len(found) < MOST_QUEUES:
            found[name], name = self._backlog_and_next(name)
        longer = [one.queue for one in found.values() if not one.is_complete]
        if longer:
            found |= self._longer(longer, share(len(longer)))
        return list(found.values())

    def _backlog_and_next(self, queue: str) -> tuple[Backlog, str | None]:
        """Returns the backlog of a queue and the name of the next one, in one look."""
        following: list[Document] = [
            {"$match": as_stored({"status": int(Status.WAITING), "queue": {"$gt": queue}})},
            {"$sort": {"queue": 1}},
            {"$limit": 1},
            {"$project": {"_id": {"$literal": _NEXT}, "queue": 1}},
        ]
        found = self._together([_counting(0, queue, FIRST), following])
        counted, behind = found.get(0), found.get(_NEXT)
        name = None if behind is None else smallest_name(behind["queue"], queue)
        return Backlog(queue, 0, 0.0) if counted is None else _backlog(queue, counted, FIRST), name

    def _longer(self, queues: Sequence[str], most: int) -> dict[str, Backlog]:
        found = self._together([_counting(number, queue, most) for number, queue in enumerate(queues)])
        return {queues[number]: _backlog(queues[number], entry, most) for number, entry in found.items()}

    def _together(self, parts: Sequence[list[Document]]) -> dict[Any, Document]:
        """Returns what these searches find, by the ids that they give it, with one question to the server."""
        return {entry["_id"]: entry for entry in read_together(self._jobs, parts)}

    def _next_queue(self, after: str) -> str | None:
        query = as_stored({"status": int(Status.WAITING), "queue": {"$gt": after}})
        found = read(self._jobs, lambda jobs: jobs.find(query, {"queue": 1}).sort("queue", 1).limit(1))
        return smallest_name(found[0]["queue"], after) if found else None


def _counting(number: int, queue: str, most: int) -> list[Document]:
    """Returns the stages that count the waiting jobs of a queue, one more than `most` at most, under this number."""
    counted: Document = {"count": {"$sum": 1}, "oldest": {"$max": seconds_since("$at")}}
    return [
        {"$match": as_stored({"status": int(Status.WAITING), "queue": queue})},
        {"$limit": most + 1},
        {"$group": {"_id": {"$literal": number}, **counted}},
    ]


def _backlog(queue: str, entry: Mapping[str, Any], most: int) -> Backlog:
    count, oldest = int(entry["count"]), float(entry["oldest"] or 0)
    return Backlog(queue, count, max(0.0, oldest), count <= most)
