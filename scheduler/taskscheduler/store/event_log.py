"""The capped log of status changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson import ObjectId
from pymongo.database import Database
from pymongo.errors import PyMongoError

from taskscheduler.model.document import Document
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.client import PROMPT
from taskscheduler.store.wakeups import _IDS_PER_MESSAGE, logger


class EventLog:
    """Appends status changes to the capped log, many in one document."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._collection = database.get_collection(options.event_queue, write_concern=PROMPT)

    def append(self, events: Sequence[dict[str, Any]], node: str | None = None) -> None:
        """Log `{job, status, attempt}` entries; a failure is reported and otherwise ignored."""
        try:
            for start in range(0, len(events), _IDS_PER_MESSAGE):
                chunk = list(events[start : start + _IDS_PER_MESSAGE])
                self._collection.insert_one({"_id": ObjectId(), "node": node, "events": chunk})
        except PyMongoError as error:
            logger.warning("events not logged", extra={"reason": str(error)[:200]})

    def of_job(self, job_id: ObjectId) -> list[Document]:
        """The logged changes of one job that have not been overwritten yet, oldest first."""
        entries = self._collection.find({"events.job": job_id}).sort("$natural", 1)
        return [
            {**event, "logged": entry["_id"].generation_time, "node": entry["node"]}
            for entry in entries
            for event in entry["events"]
            if event["job"] == job_id
        ]
