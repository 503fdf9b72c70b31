"""Writes the ends of many attempts at once, and progress. Every write is behind a fence and safe to repeat."""

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
from taskscheduler.store.attempt_updates import Completion, batch_done_update, completion_update, is_written
from taskscheduler.store.client import PROMPT
from taskscheduler.store.fence import Fence


class CompletionStore:
    """The ends and the progress of attempts, as nodes report them."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self.collection: Collection[Document] = database[options.job_store]
        self._prompt = database.get_collection(options.job_store, write_concern=PROMPT)

    def write(self, completions: Sequence[Completion]) -> int:
        """Writes the ends of many attempts at once; returns how many fences still held.

        The caller repeats it after a fault: as updates of many documents the driver does not retry these writes, since
        its bookkeeping for that doubles the cost of a write.
        """
        groups: dict[tuple[str, str | None], list[ObjectId]] = {}
        writes = []
        for completion in completions:
            if completion.is_simple:
                group = groups.setdefault((completion.fence.claim, completion.worker), [])
                group.append(completion.fence.job_id)
            else:
                writes.append(completion_update(completion))
        writes += [batch_done_update(claim, worker, ids) for (claim, worker), ids in groups.items()]
        return self.collection.bulk_write(writes, ordered=False).matched_count

    def confirmed(self, completions: Sequence[Completion]) -> set[ObjectId]:
        """Returns the jobs whose end is in the database, for when fewer matched than were written."""
        ids = [completion.fence.job_id for completion in completions]
        fields = {"status": 1, "claim": 1, "attempt": 1, "rearmed": 1}
        found = {job["_id"]: job for job in self.collection.find({"_id": {"$in": ids}}, fields)}
        written = [one for one in completions if is_written(one, found.get(one.fence.job_id))]
        return {completion.fence.job_id for completion in written}

    def progress(self, reports: Sequence[tuple[Fence, Mapping[str, Any], ObjectId | None]]) -> None:
        """Writes signs of life with the progress that came with them; that of a child keeps its parent alive."""
        writes = []
        for fence, progress, parent in reports:
            update: Document = {"$currentDate": {"alive": True}}
            if progress:
                update["$set"] = dict(progress)
            writes.append(UpdateOne(fence.filter(), update))
            if parent is not None:
                running = {"_id": parent, "status": int(Status.PROCESSING)}
                writes.append(UpdateOne(running, {"$currentDate": {"alive": True}}))
        self._prompt.bulk_write(writes, ordered=False)
