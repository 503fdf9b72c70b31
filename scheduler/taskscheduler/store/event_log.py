"""Appends status changes to a capped collection, and reads back those of one job.

An entry: `{_id, node, events: [{job, status, attempt}]}`. Entries may be overwritten, or the collection dropped, at any
time; that loses history and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo.database import Database
from pymongo.errors import ExecutionTimeout, OperationFailure, PyMongoError

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.sound import sound, status_of
from taskscheduler.store.client import PROMPT
from taskscheduler.store.driver_errors import brief
from taskscheduler.store.lenient_reads import read

logger = logging.getLogger(__name__)

_EVENTS_PER_ENTRY = 1000

#: how many of the newest entries a read looks at. They have no index, which would cost every claim and every end; all
#: entries of the default size, 5 MB, are read in 60 ms. A read that takes too long, or that new entries overtake, is
#: repeated with fewer.
_LOOKED_AT = (100_000, 10_000, 1_000)

_MAX_TIME_MS = 1_000

_OVERTAKEN = 136  #: CappedPositionLost: new entries have overwritten the place of a read


class StatusChange(NamedTuple):
    """One logged change of the status of a job."""

    at: datetime  #: when it was logged, to the second, by the clock of the process that logged it
    status: Status
    attempt: int
    node: str | None  #: the node that logged it; None for a scheduler


class EventLog:
    """The capped log of status changes; many of them share an entry."""

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._collection = database.get_collection(options.event_queue, write_concern=PROMPT)

    def append(self, events: Sequence[dict[str, Any]], node: str | None = None) -> None:
        """Logs `{job, status, attempt}` events; a failure is reported and otherwise ignored."""
        try:
            for start in range(0, len(events), _EVENTS_PER_ENTRY):
                chunk = list(events[start : start + _EVENTS_PER_ENTRY])
                self._collection.insert_one({"_id": ObjectId(), "node": node, "events": chunk})
        except PyMongoError as error:
            logger.warning("events not logged", extra={"reason": brief(error)})

    def of_job(self, job_id: ObjectId, limit: int) -> list[StatusChange]:
        """Returns the newest logged changes of one job, oldest first, as far as they are not overwritten.

        The order is that of logging: the end of a quick attempt may be logged before its start.
        """
        for count in _LOOKED_AT:
            try:
                entries = self._entries(_changes_of(job_id, count, limit))
            except OperationFailure as error:
                if not isinstance(error, ExecutionTimeout) and error.code != _OVERTAKEN:
                    raise
            else:
                changes = [_change(entry, event) for entry in reversed(entries) for event in entry["events"]]
                return changes[-limit:]
        return []

    def _entries(self, stages: list[Document]) -> list[Document]:
        """Returns entries whose id says when they were logged."""
        found = read(self._collection, lambda entries: entries.aggregate(stages, **_NEWEST_FIRST))
        return [entry for entry in found if isinstance(entry["_id"], ObjectId)]


_NEWEST_FIRST: Mapping[str, Any] = {"hint": {"$natural": -1}, "maxTimeMS": _MAX_TIME_MS}


def _changes_of(job_id: ObjectId, count: int, limit: int) -> list[Document]:
    ours = {
        "$filter": {
            "input": {"$cond": [{"$isArray": "$events"}, "$events", ["$events"]]},
            "cond": {"$eq": ["$$this.job", job_id]},
        }
    }
    return [
        {"$limit": count},
        {"$match": {"events.job": job_id}},
        {"$limit": limit},
        {"$project": {"node": 1, "events": ours}},
    ]


def _change(entry: Mapping[str, Any], event: Mapping[str, Any]) -> StatusChange:
    logged = entry["_id"].generation_time
    return StatusChange(logged, status_of(event), sound(event, "attempt", 0), sound(entry, "node"))
