"""Creates the collections and indexes that are missing; `ensure` may run at any time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.collection import Collection as MongoCollection
from pymongo.database import Database
from pymongo.errors import CollectionInvalid, OperationFailure
from pymongo.read_concern import ReadConcern

from taskscheduler.errors import DatabaseError
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import DEAD_LETTERS, FINAL, Status
from taskscheduler.model.options import FLOWS, LOGS, METRICS, NODES, SEQUENCES, SchedulerOptions
from taskscheduler.store.driver_errors import brief, is_not_allowed
from taskscheduler.store.indexes.definitions import CLAIM_ORDER, ON_DEMAND, RUNNING, index, name_of
from taskscheduler.store.indexes.definitions import present as there
from taskscheduler.store.lenient_reads import ONLY_ID, read_command, read_one

logger = logging.getLogger(__name__)

#: a lost node stays listed for a day
_NODE_RETENTION = IndexModel([("alive", ASCENDING)], name="retention", expireAfterSeconds=86_400)

_FOR_EVER = 2**31 - 1

_SETTLED_WITHIN_MS = 10_000

_NOTHING: Document = {"_id": None}

_NAMESPACE_EXISTS = 48

#: version 0.1.0 had one TTL index for all ended jobs, and its nodes make it again if it is missing
OLDER_RETENTION = "retention"

Indexes = Mapping[str, Mapping[str, Any]]

JobCollection: TypeAlias = MongoCollection[Document]

_CLAIM = "claim"  #: the index that is there before the first job

#: collections that are made after an index on demand, and before the first job that is in it
_MARKERS = {"sequence": SEQUENCES, "flow": FLOWS, "open": FLOWS}

PARKED_ORDER = [("priority", DESCENDING), ("parked_at", ASCENDING), ("_id", ASCENDING)]

#: the condition of the index `blocked`, told from the index alone: for $exists the server reads each document
IS_PARKED: Document = {"parked_at": {"$gte": datetime(1, 1, 1, tzinfo=UTC)}}


def job_indexes(options: SchedulerOptions, present: Indexes, in_use: Collection[str]) -> list[IndexModel]:
    """Returns all indexes of the job store, which has `present` ones; `in_use`: those on demand that are needed.

    They are partial, so that jobs in another status cost nothing. Every index that a job enters or leaves at its claim
    or end makes each job slower, so jobs that are DONE are in `retention_done` alone. Other ended jobs are in
    `unsuccessful`, too, and dead letters in `failures`.
    """
    on_demand = [ON_DEMAND[name] for name in ON_DEMAND if name in in_use]
    return [*_live_indexes(), *_ended_indexes(), *on_demand, *_retention_indexes(options, present)]


def _live_indexes() -> list[IndexModel]:
    """Returns the indexes by which nodes find jobs to claim, promote, check or admit."""
    return [
        index("claim", [("queue", ASCENDING), *CLAIM_ORDER], {"status": int(Status.WAITING)}),
        index("due", [("at", ASCENDING)], {"status": int(Status.POSTPONED)}),
        index("held", [("boot", ASCENDING), ("claim", ASCENDING)], RUNNING),
        index("gate", [("gate", ASCENDING)], there("gate"), unique=True),
        index("blocked", [("blocked", ASCENDING), *PARKED_ORDER], there("parked_at")),
        index("live_list", [("class", ASCENDING), ("_id", ASCENDING)], {"status": {"$lte": int(Status.PROCESSING)}}),
    ]


def _ended_indexes() -> list[IndexModel]:
    """Returns the indexes by which ended jobs are followed up and listed."""
    return [
        index("pending", [("pending", ASCENDING)], there("pending")),
        index("unsuccessful", [("status", ASCENDING), ("_id", DESCENDING)], {"status": {"$gt": int(Status.DONE)}}),
        index("failures", [("fingerprint", ASCENDING), ("ended", DESCENDING)], there("fingerprint")),
    ]


def has_awaited(database: Database[Document], options: SchedulerOptions) -> bool:
    """Whether a job has ever waited for a signal, as the index tells."""
    return "awaits" in database[options.job_store].index_information()


def has_sequences(database: Database[Document]) -> bool:
    """Whether somebody has used a sequence: their counters come after the index, and before their jobs."""
    return SEQUENCES in database.list_collection_names(filter={"name": SEQUENCES})


def _in_use(
    jobs: JobCollection, present: Indexes, collections: Collection[str], known: Collection[str]
) -> frozenset[str]:
    """Returns the names of the indexes on demand that have to be there: known ones, and those that are there.

    All of them if jobs have no index at all: somebody has dropped the indexes, or restored the data without them, and
    nobody can tell which of them these jobs need.
    """
    if _CLAIM not in present and _has_lost(jobs):
        return frozenset(ON_DEMAND)
    of_others = {name for name, marker in _MARKERS.items() if marker in collections}
    return frozenset({name for name in ON_DEMAND if name in known or name in present} | of_others)


def _has_lost(jobs: JobCollection) -> bool:
    """Whether there are jobs without the index that is made before the first one."""
    has_jobs = read_one(jobs, lambda jobs: jobs.find_one({}, ONLY_ID)) is not None
    return has_jobs and _CLAIM not in jobs.index_information()  # else somebody has made it just now


def retention_index(status: Status) -> str:
    """Returns the name of the index of ended jobs in this status."""
    return f"retention_{status.label}"


def _retention_indexes(options: SchedulerOptions, present: Indexes) -> list[IndexModel]:
    """Returns the indexes that delete ended jobs. Those of an older database keep them as long as it did, or longer."""
    older = present.get(OLDER_RETENTION, {}).get("expireAfterSeconds")
    return [_ended_index(status, _seconds(status, options, older)) for status in sorted(FINAL)]


def _ended_index(status: Status, seconds: int) -> IndexModel:
    of_status = {"status": int(status)}
    return index(retention_index(status), [("ended", ASCENDING)], of_status, expireAfterSeconds=seconds)


def _seconds(status: Status, options: SchedulerOptions, older: int | None = None) -> int:
    chosen = _ttl(getattr(options, _option(status)))
    if older is None or _option(status) in options.given:
        return chosen
    return max(chosen, older) if status in DEAD_LETTERS else older


def _option(status: Status) -> str:
    return "failed_retention" if status in DEAD_LETTERS else "job_retention"


def _ttl(seconds: float) -> int:
    return max(1, round(seconds)) if seconds else _FOR_EVER


class Found(NamedTuple):
    """What was there, or is there now."""

    collections: Mapping[str, Mapping[str, Any]]  #: that were there: the options of each, by name
    indexes: Indexes  #: of jobs, that were there
    on_demand: frozenset[str]  #: the indexes on demand that are there now


def ensure(database: Database[Document], options: SchedulerOptions, known: Collection[str] = ()) -> Found:
    """Creates missing collections and indexes, and applies sizes and a retention that somebody chose.

    `known`: indexes on demand that have been there. DatabaseError if the collection of the jobs is capped, as
    php-task-scheduler v3 made it: it would lose jobs.
    """
    found = complete(database, options, known)
    _apply_chosen(database, options)
    _retire_older(database, options, found.indexes)
    return found


def complete(database: Database[Document], options: SchedulerOptions, known: Collection[str] = ()) -> Found:
    """Does the same, but leaves alone what is there. What somebody chose for the capped collections is applied."""
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
    jobs = database[options.job_store]
    present = settled_indexes(jobs)
    in_use = _in_use(jobs, present, existing, known)
    _create_lacking(database, options.job_store, job_indexes(options, present, in_use), present)
    _create_lacking(database, NODES, [_NODE_RETENTION], settled_indexes(database[NODES]))
    for name, create in ((METRICS, ensure_metrics), (LOGS, ensure_logs)):
        if name not in existing:
            _try_to_create(database, name, create)
    return Found(existing, present, in_use - (_names_of_begun(jobs) if in_use else set()))


def _try_to_create(database: Database[Document], name: str, create: Callable[[Database[Document]], None]) -> None:
    """Creates a collection; without the right to do so, everything works but what is kept there."""
    try:
        create(database)
    except OperationFailure as error:
        if not is_not_allowed(error):
            raise
        logger.info("a collection is not created", extra={"collection": name, "reason": brief(error)})


def ensure_logs(database: Database[Document]) -> None:
    """Creates the indexes of logs that are missing."""
    order = [("job", ASCENDING), ("attempt", ASCENDING), ("n", ASCENDING)]
    shared = index("shared", [("shared", ASCENDING)], there("shared"))
    ensure_indexes(database, LOGS, [IndexModel(order, name="place", unique=True), shared])


def ensure_metrics(database: Database[Document]) -> None:
    """Creates the index that deletes old metrics, if it is missing."""
    ensure_indexes(database, METRICS, [IndexModel([("expires", ASCENDING)], name="retention", expireAfterSeconds=0)])


def ensure_indexes(database: Database[Document], collection: str, wanted: list[IndexModel]) -> None:
    """Creates missing indexes and writes nothing if there are none, so most users need no right to create any.

    Waits for those that somebody else has begun to make.
    """
    jobs = database[collection]
    _create_lacking(database, collection, wanted, made(jobs, settled_indexes(jobs)))


def settled_indexes(collection: JobCollection) -> Indexes:
    """Returns the indexes of a collection that a majority has.

    The primary lists what it has alone, too, and an election may take that away. Raises ExecutionTimeout if a majority
    has not caught up with it after 10 seconds.
    """
    with collection.database.client.start_session(causal_consistency=True) as session:
        collection.index_information(session=session)
        # the server answers when a majority has all that the primary had before
        committed = collection.with_options(read_concern=ReadConcern("majority"))
        read_one(committed, lambda found: found.find_one(_NOTHING, session=session, max_time_ms=_SETTLED_WITHIN_MS))
        return collection.index_information(session=session)


def made(collection: JobCollection, listed: Indexes) -> Indexes:
    """Returns those of the listed indexes that are ready. One that the server is making refuses no duplicate yet."""
    begun = _names_of_begun(collection)
    return {name: index for name, index in listed.items() if name not in begun}


def _names_of_begun(collection: JobCollection) -> set[str]:
    return {str(spec["name"]) for spec in begun_indexes(collection)}


def _create_lacking(database: Database[Document], collection: str, wanted: list[IndexModel], present: Indexes) -> None:
    lacking = [model for model in wanted if not _is_there(model.document, present)]
    if lacking:
        database[collection].create_indexes(lacking)


def _is_there(wanted: Mapping[str, Any], present: Mapping[str, Any]) -> bool:
    """Whether this index exists; the retention of an existing one does not matter."""
    found = present.get(wanted["name"])
    if found is None or list(found["key"]) != list(wanted["key"].items()):
        return False
    return all(found.get(part) == wanted.get(part) for part in ("unique", "partialFilterExpression"))


def _apply_chosen(database: Database[Document], options: SchedulerOptions) -> None:
    """Applies the retentions that somebody chose."""
    chosen = [status for status in sorted(FINAL) if _option(status) in options.given]
    present = database[options.job_store].index_information() if chosen else {}
    for status in chosen:
        name = retention_index(status)
        _expire_after(database, options, name, _seconds(status, options), present[name])


def _retire_older(database: Database[Document], options: SchedulerOptions, present: Indexes) -> None:
    """Removes the index of version 0.1.0, or has it delete nothing while a node of that version is listed.

    If the server refuses that, because this user may not or somebody else does it, it is left for later.
    """
    if OLDER_RETENTION not in present:
        return
    older = {"schema": {"$exists": False}}
    try:
        if read_one(database[NODES], lambda nodes: nodes.find_one(older, ONLY_ID)) is None:
            database[options.job_store].drop_index(OLDER_RETENTION)
        else:
            _expire_after(database, options, OLDER_RETENTION, _FOR_EVER, present[OLDER_RETENTION])
    except OperationFailure as error:
        logger.info("the retention index of an older version is not removed yet", extra={"reason": brief(error)})


def _expire_after(
    database: Database[Document], options: SchedulerOptions, name: str, seconds: int, present: Mapping[str, Any]
) -> None:
    if present.get("expireAfterSeconds") != seconds:
        database.command("collMod", options.job_store, index={"name": name, "expireAfterSeconds": seconds})


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


def missing_indexes(database: Database[Document], options: SchedulerOptions, known: Collection[str] = ()) -> list[str]:
    """Returns the names of the indexes that the job store lacks, and of those that the server is making just now."""
    jobs = database[options.job_store]
    present = jobs.index_information()
    markers = database.list_collection_names(filter={"name": {"$in": [SEQUENCES, FLOWS]}})
    wanted = map(name_of, job_indexes(options, present, _in_use(jobs, present, markers, known)))
    begun = [f"{spec['name']} (the server is making it)" for spec in begun_indexes(jobs)]
    return [*(name for name in wanted if name not in present), *begun]


def await_indexes(collection: JobCollection) -> None:
    """Returns when the server has made all indexes of a collection that it is making."""
    if begun := begun_indexes(collection):
        collection.database.command("createIndexes", collection.name, indexes=begun)


def begun_indexes(collection: JobCollection) -> list[Document]:
    """Returns the indexes that the server is making. It lists them with the others, and refuses to search by them.

    It goes on if who has asked for them is gone.
    """
    try:
        asked = {"listIndexes": collection.name, "includeBuildUUIDs": True}
        answer = read_command(collection.database, asked)
    except OperationFailure:  # there is no such collection, or this server does not tell
        return []
    return [entry["spec"] for entry in answer["cursor"]["firstBatch"] if "buildUUID" in entry]
