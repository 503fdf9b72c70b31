"""One change stream for live views: changes of jobs, flows, schedules and settings, without data and results."""

from __future__ import annotations

from bson import Timestamp
from pymongo.database import Database

from taskscheduler.model.document import Document
from taskscheduler.model.options import CONTROLS, FLOWS, SCHEDULES, SchedulerOptions
from taskscheduler.store.change_feed import ChangeFeed, Token

_AWAIT_MS = 500

_JOB = ("class", "queue", "status", "attempt", "progress", "message", "node", "worker", "flow", "ended", "rearmed")

_UPDATED = ("status", "attempt", "progress", "message", "ended", "rearmed", "started")

_FLOW = ("name", "status", "ended")

_INSERT = {"operationType": "insert"}


def live_pipeline(job_store: str) -> list[Document]:
    """Selects from the stream of a database what live views show, and of each change only the small fields."""
    jobs = {"ns.coll": job_store, "$or": [_INSERT, _updated("status"), _updated("progress"), _updated("message")]}
    flows = {"ns.coll": FLOWS, "$or": [_INSERT, _updated("status"), _updated("ended")]}
    others = {"ns.coll": {"$in": [SCHEDULES, CONTROLS]}}
    fields = {f"fullDocument.{field}": 1 for field in (*_JOB, *_FLOW)}
    fields |= {f"updateDescription.updatedFields.{field}": 1 for field in _UPDATED}
    common = dict.fromkeys(("operationType", "documentKey", "ns.coll", "clusterTime", "wallTime"), 1)
    return [{"$match": {"$or": [jobs, flows, others]}}, {"$project": {**common, **fields}}]


def _updated(field: str) -> Document:
    return {f"updateDescription.updatedFields.{field}": {"$exists": True}}


def live_feed(database: Database[Document], options: SchedulerOptions, after: Token | None = None) -> ChangeFeed:
    """Returns a feed of these changes that is not open yet; it begins behind `after` or when it is opened."""
    return ChangeFeed(
        database, live_pipeline(options.job_store), full_document="updateLookup", await_ms=_AWAIT_MS, after=after
    )


def time_of(event: Document) -> float | None:
    """Returns when a change was made, as a unix time; older servers say it to the second."""
    wall, cluster = event.get("wallTime"), event.get("clusterTime")
    if wall is not None:
        return float(wall.timestamp())
    return float(cluster.time) if isinstance(cluster, Timestamp) else None
