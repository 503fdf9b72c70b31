"""The results that jobs of flows take: from the jobs themselves, or from copies of those that wait for long.

A job that is DONE may be deleted before the last one of its join has ended. So whoever writes its end keeps a copy of
its result as long as somebody waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, IndexModel, ReplaceOne
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.document import Document
from taskscheduler.model.lenient import UnreadableDocument
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import FLOW_RESULTS, SchedulerOptions
from taskscheduler.store.lenient_reads import read
from taskscheduler.store.schema import ensure_indexes

_INDEXES = [IndexModel([("flow", ASCENDING)], name="flow")]


class FlowResults:
    """The results of jobs of flows."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._jobs: Collection[Document] = database[options.job_store]
        self._copies: Collection[Document] = database[FLOW_RESULTS]
        self._ensured = False

    def of(self, ids: Sequence[ObjectId]) -> dict[ObjectId, Any]:
        """Returns the results of those of these jobs that are DONE, or were when they were deleted."""
        if not ids:
            return {}
        query, fields = {"_id": {"$in": list(dict.fromkeys(ids))}}, {"status": 1, "result": 1}
        found = {job["_id"]: job for job in read(self._jobs, lambda jobs: jobs.find(query, fields))}
        results = {key: _result(job) for key, job in found.items() if job.get("status") == Status.DONE}
        if gone := [job_id for job_id in ids if job_id not in found]:
            copies = read(self._copies, lambda copies: copies.find({"_id": {"$in": gone}}))
            results |= {copy["_id"]: _result(copy) for copy in copies}
        return results

    def keep(self, jobs: Mapping[ObjectId, ObjectId]) -> None:
        """Keeps copies of the results of these jobs, each of a flow."""
        if not self._ensured:
            ensure_indexes(self._copies.database, FLOW_RESULTS, _INDEXES)
            self._ensured = True
        results = self.of(list(jobs))
        writes = [
            ReplaceOne({"_id": job_id}, {"_id": job_id, "flow": jobs[job_id], "result": value}, upsert=True)
            for job_id, value in results.items()
            if value is not None
        ]
        if writes:
            self._copies.bulk_write(writes, ordered=False)

    def drop(self, flow_id: ObjectId) -> None:
        """Deletes the copies of a flow that has ended."""
        self._copies.delete_many({"flow": flow_id})


def _result(document: Document) -> Any:
    return None if isinstance(document, UnreadableDocument) else document.get("result")
