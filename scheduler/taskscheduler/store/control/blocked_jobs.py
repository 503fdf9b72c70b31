"""Parks waiting jobs that a setting holds back, and makes them wait again. The fields that carry it in a job:

blocked     the key of the setting, such as `pause:job:Mail`
parked_at   the due time, as for a job that waits for a solo lock; `at` is far off, so that no search looks at the job
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.control.keys import CONTROL_FIELDS, FAR, LISTED_FIELDS
from taskscheduler.model.control.pauses import JOB, PAUSE, Pause
from taskscheduler.model.document import Document
from taskscheduler.model.lenient import as_stored, smallest_name
from taskscheduler.model.lifecycle import Status, Transition, target
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.control_updates import own_list
from taskscheduler.store.fence import from_statuses
from taskscheduler.store.lenient_reads import ONLY_ID, each, read, undecoded
from taskscheduler.store.schema import PARKED_ORDER

_BATCH = 1000

_MOST_KEYS = 1000

#: what nodes have to be told of jobs that wait again
_ANNOUNCED = {**LISTED_FIELDS, "options.force_spawn": 1, "async": 1}


class BlockedJobs:
    """The jobs that are parked since a setting holds them back."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self.collection: Collection[Document] = database[options.job_store]

    def waiting(self, pause: Pause) -> Iterator[list[Any]]:
        """Yields the ids of the waiting jobs of a class or a tag that is paused, in batches."""
        query: Document = {"status": int(Status.WAITING), "class" if pause.kind == JOB else "tags": pause.name}
        index = "live_list" if pause.kind == JOB else "claim"  # the one of tags has all that have ended
        found = each(undecoded(self.collection).find(query, ONLY_ID, batch_size=_BATCH).hint(index))
        while batch := [job["_id"] for job in islice(found, _BATCH)]:
            yield batch

    def park(self, ids: Sequence[Any], key: str) -> int:
        """Parks those of these jobs that wait; returns how many."""
        query = {"_id": {"$in": list(ids)}, "status": from_statuses(Transition.PARK)}
        stage = {
            "status": {"$literal": int(target(Transition.PARK))},
            "blocked": {"$literal": key},
            "parked_at": "$at",
            "at": {"$literal": FAR},
            "alive": "$$NOW",
        }
        return self.collection.update_many(as_stored(query), [{"$set": stage}, {"$unset": ["gate"]}]).modified_count

    def with_places(self, ids: Sequence[Any]) -> list[Document]:
        """Returns the controls of those of these jobs that hold places."""
        query = as_stored({"_id": {"$in": list(ids)}, "gate": {"$exists": True}})
        return read(self.collection, lambda jobs: jobs.find(query, dict.fromkeys(CONTROL_FIELDS, 1)))

    def first(self, key: str) -> list[Document]:
        """Returns some of the jobs that are parked under a key, those that would run first before the others."""
        query = {"blocked": key, "parked_at": {"$exists": True}, "status": from_statuses(Transition.UNPARK)}
        return read(
            self.collection, lambda jobs: jobs.find(query, _ANNOUNCED).sort(PARKED_ORDER).hint("blocked").limit(_BATCH)
        )

    def unpark(self, ids: Sequence[Any], key: str) -> int:
        """Makes those of these jobs wait again that are parked under this key; returns how many."""
        query = {"_id": {"$in": list(ids)}, "blocked": key, "status": from_statuses(Transition.UNPARK)}
        query |= {name: {"$exists": False} for name in CONTROL_FIELDS}  # those are admitted by their controls
        stage = {
            "status": {"$literal": int(target(Transition.UNPARK))},
            "at": {"$ifNull": ["$parked_at", "$$NOW"]},
            "alive": "$$NOW",
        }
        update: list[Document] = [{"$set": stage}, {"$unset": ["blocked", "parked_at"]}]
        return self.collection.update_many(as_stored(query), update).modified_count

    def leave_to_controls(self, ids: Sequence[Any], key: str) -> int:
        """Moves those of these controlled jobs that are parked under this key to their own lists; returns how many."""
        query = {"_id": {"$in": list(ids)}, "blocked": key, "status": from_statuses(Transition.UNPARK)}
        return self.collection.update_many(as_stored(query), [{"$set": {"blocked": own_list()}}]).modified_count

    def overdue(self, key: str, seconds: float) -> list[Document]:
        """Returns some of the jobs that are parked under a key and fell due so many seconds ago."""
        until = {"$lte": ["$parked_at", {"$subtract": ["$$NOW", round(seconds * 1000)]}]}
        query = {"blocked": key, "parked_at": {"$exists": True}, "$expr": until}
        fields = {"class": 1, "queue": 1, "blocked": 1, "attempt": 1, **dict.fromkeys(CONTROL_FIELDS, 1)}
        return read(self.collection, lambda jobs: jobs.find(query, fields).hint("blocked").limit(_BATCH))

    def paused_keys(self) -> list[str]:
        """Returns the keys of the pauses under which jobs are parked, whether or not they still hold."""
        return self.keys(PAUSE)

    def keys(self, kind: str) -> list[str]:
        """Returns the keys of a kind of control under which jobs are parked."""
        keys: list[str] = []
        while len(keys) < _MOST_KEYS:
            key = self._next_key(kind, keys[-1] if keys else f"{kind}:")
            if key is None or key in keys:
                break
            keys.append(key)
        return keys

    def _next_key(self, kind: str, after: str) -> str | None:
        query = {"blocked": {"$gt": after, "$lt": f"{kind};"}, "parked_at": {"$exists": True}}  # ; comes after :
        found = read(
            self.collection, lambda jobs: jobs.find(query, {"blocked": 1}).sort("blocked", 1).hint("blocked").limit(1)
        )
        return smallest_name(found[0].get("blocked"), after) if found else None
