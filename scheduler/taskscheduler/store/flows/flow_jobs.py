"""The jobs that belong to flows, as they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.control.keys import CONTROL_FIELDS
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import LIVE, QUEUED, Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.sound import status_of
from taskscheduler.store.lenient_reads import ONLY_ID, read, read_ids

_LIVE = {"$in": sorted(map(int, LIVE))}


class FlowJobs:
    """Finds the jobs of flows."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self.collection: Collection[Document] = database[options.job_store]

    def of(self, flow_id: ObjectId, fields: Mapping[str, Any] | None = None) -> list[Document]:
        """Returns the stored jobs of a flow in the order of their ids; only these fields if any are given."""
        query = {"flow": flow_id}
        return read(self.collection, lambda jobs: jobs.find(query, fields).sort("_id", 1).hint("flow"))

    def some(self, ids: Sequence[ObjectId], fields: Mapping[str, Any]) -> list[Document]:
        """Returns these fields of these jobs, as far as they are stored."""
        query = {"_id": {"$in": list(ids)}}
        return read(self.collection, lambda jobs: jobs.find(query, fields))

    def live(self, flow_id: ObjectId) -> list[ObjectId]:
        """Returns the ids of jobs of a flow that have not ended."""
        query = {"flow": flow_id, "status": _LIVE}
        return read_ids(self.collection, lambda jobs: jobs.find(query, ONLY_ID).hint("flow"))

    def last_live(self, flow_id: ObjectId, limit: int) -> list[Document]:
        """Returns jobs that nobody comes after and that have not ended."""
        query = {"open": flow_id, "status": _LIVE}
        return read(self.collection, lambda jobs: jobs.find(query).hint("open").limit(limit))

    def live_matching(self, query: Mapping[str, Any]) -> list[ObjectId]:
        """Returns the ids of matching jobs of flows that have not ended."""
        live = {"$and": [dict(query), {"flow": {"$exists": True}, "status": _LIVE}]}
        return read_ids(self.collection, lambda jobs: jobs.find(live, ONLY_ID))

    def queued(self, flow_id: ObjectId, limit: int) -> list[Document]:
        """Returns jobs of a flow that have not begun, with their controls."""
        query = {"flow": flow_id, "status": {"$in": sorted(map(int, QUEUED))}}
        fields = dict.fromkeys(("attempt", "gate", *CONTROL_FIELDS), 1)
        return read(self.collection, lambda jobs: jobs.find(query, fields).hint("flow").limit(limit))

    def counts(self, flow_id: ObjectId) -> dict[Status, int]:
        """Returns how many stored jobs of a flow are in each status."""
        return self.counts_of([flow_id])[flow_id]

    def counts_of(self, flow_ids: Sequence[ObjectId]) -> dict[ObjectId, dict[Status, int]]:
        """Returns how many stored jobs of each of these flows are in each status."""
        stages: list[Document] = [
            {"$match": {"flow": {"$in": list(flow_ids)}}},
            {"$group": {"_id": {"flow": "$flow", "status": "$status"}, "count": {"$sum": 1}}},
            {"$project": {"_id": 0, "flow": "$_id.flow", "status": "$_id.status", "count": 1}},
        ]
        counts = {flow_id: dict.fromkeys(Status, 0) for flow_id in flow_ids}
        for entry in read(self.collection, lambda jobs: jobs.aggregate(stages, hint="flow")) if flow_ids else ():
            of_flow, status = counts[entry["flow"]], status_of(entry)
            of_flow[status] = of_flow.get(status, 0) + entry["count"]
        return counts
