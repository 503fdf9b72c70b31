"""The jobs that belong to flows, as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
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

    def live(self, flow_id: ObjectId, limit: int = 0) -> list[ObjectId]:
        """Returns the ids of jobs of a flow that have not ended."""
        query = {"flow": flow_id, "status": _LIVE}
        return read_ids(self.collection, lambda jobs: jobs.find(query, ONLY_ID).hint("flow").limit(limit))

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
        stages: list[Document] = [
            {"$match": {"flow": flow_id}},
            {"$group": {"_id": "$status", "count": {"$sum": 1}}},
            {"$project": {"_id": 0, "status": "$_id", "count": 1}},
        ]
        found = read(self.collection, lambda jobs: jobs.aggregate(stages, hint="flow"))
        counts = dict.fromkeys(Status, 0)
        for entry in found:
            counts[status_of(entry)] = counts.get(status_of(entry), 0) + entry["count"]
        return counts
