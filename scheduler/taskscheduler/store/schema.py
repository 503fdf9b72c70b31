"""Creates the collections and indexes that are missing; `ensure` may run at any time."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database
from pymongo.errors import CollectionInvalid, OperationFailure

from taskscheduler.errors import DatabaseError
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import NODES, SchedulerOptions

logger = logging.getLogger(__name__)

_NODE_RETENTION = 86_400  #: seconds for which a lost node stays listed
_TTL = "retention"
_FOR_EVER = 2**31 - 1
_NAMESPACE_EXISTS = 48

CLAIM_ORDER = [("priority", DESCENDING), ("at", ASCENDING), ("_id", ASCENDING)]

PARKED_ORDER = [("priority", DESCENDING), ("parked_at", ASCENDING), ("_id", ASCENDING)]


def job_indexes(retention: float) -> list[IndexModel]:
    """Returns all indexes of the job store. They are partial, so that jobs in another status cost nothing.

    Every index that a job enters or leaves at its claim or end makes each job slower, so jobs that are DONE are in
    `retention` alone and other ended jobs in `unsuccessful`, too.
    """
    live = {"status": {"$lte": int(Status.PROCESSING)}}
    ended = {"status": {"$gt": int(Status.PROCESSING)}}
    unsuccessful = {"status": {"$gt": int(Status.DONE)}}
    return [
        IndexModel(
            [("queue", ASCENDING), *CLAIM_ORDER], name="claim", partialFilterExpression={"status": int(Status.WAITING)}
        ),
        IndexModel(
            [("options.force_spawn", ASCENDING)],
            name="force",
            partialFilterExpression={"status": int(Status.WAITING), "options.force_spawn": True},
        ),
        IndexModel(
            [("priority", DESCENDING), ("at", ASCENDING)],
            name="async",
            partialFilterExpression={"status": int(Status.WAITING), "async": True},
        ),
        IndexModel([("at", ASCENDING)], name="due", partialFilterExpression={"status": int(Status.POSTPONED)}),
        IndexModel(
            [("boot", ASCENDING), ("claim", ASCENDING)],
            name="held",
            partialFilterExpression={"status": int(Status.PROCESSING)},
        ),
        IndexModel([("pending", ASCENDING)], name="pending", partialFilterExpression={"pending": {"$exists": True}}),
        IndexModel(
            [("once", ASCENDING)], name="once", unique=True, partialFilterExpression={"once": {"$exists": True}}
        ),
        # a claim removes a job from this index, and every write that queues a job again removes its key
        IndexModel(
            [("dedupe", ASCENDING)],
            name="dedupe",
            unique=True,
            partialFilterExpression={"dedupe": {"$exists": True}, "status": {"$lt": int(Status.PROCESSING)}},
        ),
        IndexModel(
            [("tags", ASCENDING), ("_id", DESCENDING)],
            name="tags",
            partialFilterExpression={"tags": {"$exists": True}},
        ),
        IndexModel(
            [("gate", ASCENDING)], name="gate", unique=True, partialFilterExpression={"gate": {"$exists": True}}
        ),
        IndexModel(
            [("solo", ASCENDING), *PARKED_ORDER],
            name="parked",
            partialFilterExpression={"parked_at": {"$exists": True}},
        ),
        IndexModel(
            [("program.host", ASCENDING)],
            name="tracked",
            partialFilterExpression={"program": {"$exists": True}, "status": int(Status.PROCESSING)},
        ),
        IndexModel([("parent", ASCENDING)], name="parent", partialFilterExpression={"parent": {"$exists": True}}),
        IndexModel([("series", ASCENDING)], name="series", partialFilterExpression={"series": {"$exists": True}}),
        IndexModel(
            [("service.name", ASCENDING)],
            name="service",
            unique=True,
            partialFilterExpression={"service.name": {"$exists": True}},
        ),
        IndexModel([("class", ASCENDING), ("_id", ASCENDING)], name="live_list", partialFilterExpression=live),
        IndexModel(
            [("status", ASCENDING), ("_id", DESCENDING)], name="unsuccessful", partialFilterExpression=unsuccessful
        ),
        IndexModel(
            [("ended", ASCENDING)],
            name=_TTL,
            expireAfterSeconds=_ttl(retention),
            partialFilterExpression=ended,
        ),
    ]


def _ttl(retention: float) -> int:
    return max(1, round(retention)) if retention else _FOR_EVER


def ensure(database: Database[Document], options: SchedulerOptions) -> None:
    """Creates missing collections and indexes, and applies sizes and a retention that somebody chose.

    DatabaseError if the collection of the jobs is capped, as php-task-scheduler v3 made it: it would lose jobs.
    """
    existing = {entry["name"]: entry.get("options", {}) for entry in database.list_collections()}
    if existing.get(options.job_store, {}).get("capped"):
        raise DatabaseError(
            f"the collection {options.job_store} is there already and is capped, so jobs in it would be overwritten; "
            "give taskscheduler a database of its own, or another collection with the option job_store"
        )
    for name, size, chosen in (
        (options.job_queue, options.job_queue_size, "job_queue_size" in options.given),
        (options.event_queue, options.event_queue_size, "event_queue_size" in options.given),
    ):
        _ensure_capped(database, name, size, existing.get(name), chosen)
    ensure_indexes(database, options.job_store, job_indexes(options.job_retention))
    ensure_indexes(database, NODES, [IndexModel([("alive", ASCENDING)], name=_TTL, expireAfterSeconds=_NODE_RETENTION)])
    if "job_retention" in options.given:
        _ensure_retention(database, options)


def ensure_indexes(database: Database[Document], collection: str, wanted: list[IndexModel]) -> None:
    """Creates missing indexes and writes nothing if there are none, so most users need no right to create any."""
    present = database[collection].index_information()
    lacking = [model for model in wanted if not _is_there(model.document, present)]
    if lacking:
        database[collection].create_indexes(lacking)


def _is_there(wanted: Mapping[str, Any], present: Mapping[str, Any]) -> bool:
    """Whether this index exists; the retention of an existing one does not matter."""
    found = present.get(wanted["name"])
    if found is None or list(found["key"]) != list(wanted["key"].items()):
        return False
    return all(found.get(part) == wanted.get(part) for part in ("unique", "partialFilterExpression"))


def _ensure_retention(database: Database[Document], options: SchedulerOptions) -> None:
    """Applies a retention that somebody chose."""
    wanted = _ttl(options.job_retention)
    current = database[options.job_store].index_information()[_TTL]
    if current.get("expireAfterSeconds") != wanted:
        database.command("collMod", options.job_store, index={"name": _TTL, "expireAfterSeconds": wanted})


def _ensure_capped(
    database: Database[Document], name: str, size: int, current: Mapping[str, Any] | None, chosen: bool
) -> None:
    if current is None:
        try:
            database.create_collection(name, capped=True, size=size, check_exists=False)
        except (CollectionInvalid, OperationFailure) as error:
            if getattr(error, "code", _NAMESPACE_EXISTS) != _NAMESPACE_EXISTS:
                raise
    elif not current.get("capped"):
        # a write after it was dropped has made an ordinary collection, which would grow for ever
        database.command("convertToCapped", name, size=size)
    elif chosen and current.get("size") != _rounded(size):
        try:
            database.command("collMod", name, cappedSize=size)
        except OperationFailure as error:  # before MongoDB 6.0
            logger.warning("capped collection keeps its size", extra={"collection": name, "reason": str(error)})


def _rounded(size: int) -> int:
    """Rounds the size of a capped collection up to a multiple of 256 bytes, as MongoDB does."""
    return (size + 255) // 256 * 256


def missing_indexes(database: Database[Document], options: SchedulerOptions) -> list[str]:
    """Returns the names of the indexes that the job store lacks."""
    present = database[options.job_store].index_information()
    wanted = [str(model.document["name"]) for model in job_indexes(options.job_retention)]
    return [name for name in wanted if name not in present]
