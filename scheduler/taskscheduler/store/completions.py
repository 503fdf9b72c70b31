"""Writes the ends of many attempts at once, and progress. Every write names its attempt and is safe to repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.attempt_updates import Completion, all_done, finishing, has_landed
from taskscheduler.store.client import PROMPT
from taskscheduler.store.fence import Fence


class CompletionStore:
    """How attempts ended, and what running ones report."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self.collection: Collection[Document] = database[options.job_store]
        self._prompt = database.get_collection(options.job_store, write_concern=PROMPT)

    def write(self, completions: Sequence[Completion]) -> int:
        """Write the ends of many attempts at once; how many fences still held.

        Safe to repeat, which is the caller's affair: as updates of many documents they are not retried by the driver,
        whose bookkeeping for that doubles the cost of a write.
        """
        groups: dict[tuple[str, str | None], list[ObjectId]] = {}
        writes = []
        for one in completions:
            if one.is_simple:
                groups.setdefault((one.fence.claim, one.worker), []).append(one.fence.job_id)
            else:
                writes.append(finishing(one))
        writes += [all_done(claim, worker, ids) for (claim, worker), ids in groups.items()]
        return self.collection.bulk_write(writes, ordered=False).matched_count

    def confirmed(self, completions: Sequence[Completion]) -> set[ObjectId]:
        """Which of the written ends are in the database, for when fewer matched than were written."""
        ids = [one.fence.job_id for one in completions]
        fields = {"status": 1, "claim": 1, "attempt": 1, "rearmed": 1}
        found = {job["_id"]: job for job in self.collection.find({"_id": {"$in": ids}}, fields)}
        return {one.fence.job_id for one in completions if has_landed(one, found.get(one.fence.job_id))}

    def progress(self, reports: Sequence[tuple[Fence, Mapping[str, Any], ObjectId | None]]) -> None:
        """Note signs of life with what they say; that of a child keeps its parent alive."""
        writes = []
        for fence, said, parent in reports:
            update: Document = {"$currentDate": {"alive": True}}
            if said:
                update["$set"] = dict(said)
            writes.append(UpdateOne(fence.filter(), update))
            if parent is not None:
                running = {"_id": parent, "status": int(Status.PROCESSING)}
                writes.append(UpdateOne(running, {"$currentDate": {"alive": True}}))
        self._prompt.bulk_write(writes, ordered=False)
