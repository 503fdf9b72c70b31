"""Creates the collections and indexes that are missing; `ensure` may run at any time."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
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

_RUNNING: Document = {"status": int(Status.PROCESSING)}

PARKED_ORDER = [("priority", DESCENDING), ("parked_at", ASCENDING), ("_id", ASCENDING)]


def job_indexes(retention: float) -> list[IndexModel]:
    """Returns all indexes of the job store. They are partial, so that jobs in another status cost nothing.

    Every index that a job enters or leaves at its claim or end makes each job slower, so jobs that are DONE are in
    `retention` alone and other ended jobs in `unsuccessful`, too.
    """
    return [*_node_indexes(), *_key_indexes(), *_list_indexes(), _retention_index(retention)]


def _node_indexes() -> list[IndexModel]:
    """Returns the indexes by which nodes find jobs to claim, promote, check or follow up."""
    waiting = {"status": int(Status.WAITING)}
    return [
        _index("claim", [("queue", ASCENDING), *CLAIM_ORDER], waiting),
        _index("force", [("options.force_spawn", ASCENDING)], {**waiting, "options.force_spawn": True}),
        _index("async", [("priority", DESCENDING), ("at", ASCENDING)], {**waiting, "async": True}),
        _index("due", [("at", ASCENDING)], {"status": int(Status.POSTPONED)}),
        _index("held", [("boot", ASCENDING), ("claim", ASCENDING)], _RUNNING),
        _index("pending", [("pending", ASCENDING)], _present("pending")),
    ]


def _key_indexes() -> list[IndexModel]:
    """Returns the indexes of keys that a job holds or shares; three of them let one job hold a key."""
    # a claim removes a job from `dedupe`, and every write that queues a job again removes its key
    not_started = {**_present("dedupe"), "status": {"$lt": int(Status.PROCESSING)}}
    return [
        _index("once", [("once", ASCENDING)], _present("once"), unique=True),
        _index("dedupe", [("dedupe", ASCENDING)], not_started, unique=True),
        _index("tags", [("tags", ASCENDING), ("_id", DESCENDING)], _present("tags")),
        _index("gate", [("gate", ASCENDING)], _present("gate"), unique=True),
        _index("parked", [("solo", ASCENDING), *PARKED_ORDER], _present("parked_at")),
    ]


def _list_indexes() -> list[IndexModel]:
    """Returns the indexes by which programs, families, services and lists of jobs are found."""
    return [
        _index("tracked", [("program.host", ASCENDING)], {**_present("program"), **_RUNNING}),
        _index("parent", [("parent", ASCENDING)], _present("parent")),
        _index("series", [("series", ASCENDING)], _present("series")),
        _index("service", [("service.name", ASCENDING)], _present("service.name"), unique=True),
        _index("live_list", [("class", ASCENDING), ("_id", ASCENDING)], {"status": {"$lte": int(Status.PROCESSING)}}),
        _index("unsuccessful", [("status", ASCENDING), ("_id", DESCENDING)], {"status": {"$gt": int(Status.DONE)}}),
    ]


def _retention_index(retention: float) -> IndexModel:
    ended = {"status": {"$gt": int(Status.PROCESSING)}}
    return _index(_TTL, [("ended", ASCENDING)], ended, expireAfterSeconds=_ttl(retention))


def _index(name: str, keys: Sequence[tuple[str, int]], condition: Mapping[str, Any], **options: Any) -> IndexModel:
    return IndexModel(keys, name=name, partialFilterExpression=condition, **options)


def _present(field: str) -> Document:
    return {field: {"$exists": True}}


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
