"""Creates the collections and indexes that are missing; `ensure` may run at any time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import CollectionInvalid, OperationFailure
from pymongo.read_concern import ReadConcern

from taskscheduler.errors import DatabaseError
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import DEAD_LETTERS, FINAL, Status
from taskscheduler.model.options import FLOWS, LOGS, METRICS, NODES, SEQUENCES, SchedulerOptions
from taskscheduler.store.driver_errors import brief, is_not_allowed
from taskscheduler.store.lenient_reads import ONLY_ID, read_command, read_one

logger = logging.getLogger(__name__)

_A_DAY = 86_400  #: seconds for which a lost node stays listed
_FOR_EVER = 2**31 - 1

_SETTLED_WITHIN_MS = 10_000

_NOTHING: Document = {"_id": None}

_NAMESPACE_EXISTS = 48

#: version 0.1.0 had one TTL index for all ended jobs, and its nodes make it again if it is missing
OLDER_RETENTION = "retention"

Indexes = Mapping[str, Mapping[str, Any]]

Collections = Mapping[str, Mapping[str, Any]]  #: the options of each, by name

CLAIM_ORDER = [("priority", DESCENDING), ("at", ASCENDING), ("_id", ASCENDING)]

_RUNNING: Document = {"status": int(Status.PROCESSING)}

PARKED_ORDER = [("priority", DESCENDING), ("parked_at", ASCENDING), ("_id", ASCENDING)]

TURN_ORDER = [("sequence", ASCENDING), ("turn", ASCENDING)]

AWAITED_ORDER = [("status", ASCENDING), ("awaits.name", ASCENDING), ("awaits.until", ASCENDING)]

#: the condition of the index `blocked`, told from the index alone: for $exists the server reads each document
IS_PARKED: Document = {"parked_at": {"$gte": datetime(1, 1, 1, tzinfo=UTC)}}


def job_indexes(options: SchedulerOptions, present: Indexes, sequences: bool) -> list[IndexModel]:
    """Returns all indexes of the job store, which has `present` ones; `sequences`: whether these are used.

    They are partial, so that jobs in another status cost nothing. Every index that a job enters or leaves at its claim
    or end makes each job slower, so jobs that are DONE are in `retention_done` alone. Other ended jobs are in
    `unsuccessful`, too, and dead letters in `failures`.
    """
    of_sequences = [sequence_index()] if sequences else []
    return [
        *_node_indexes(), *_key_indexes(), *of_sequences, *_list_indexes(), *_retention_indexes(options, present),
    ]  # fmt: skip


def _node_indexes() -> list[IndexModel]:
    """Returns the indexes by which nodes find jobs to claim, promote, check or follow up."""
    waiting = {"status": int(Status.WAITING)}
    return [
        _index("claim", [("queue", ASCENDING), *CLAIM_ORDER], waiting),
        _index("force", [("options.force_spawn", ASCENDING)], {**waiting, "options.force_spawn": True}),
        _index("async", [("priority", DESCENDING), ("at", ASCENDING)], {**waiting, "async": True}),
        _index("due", [("at", ASCENDING)], {"status": int(Status.POSTPONED)}),
        # a claim removes a job from it
        _index("expires", [("expires", ASCENDING)], {**_present("expires"), "status": {"$lt": int(Status.PROCESSING)}}),
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
        _index("blocked", [("blocked", ASCENDING), *PARKED_ORDER], _present("parked_at")),
    ]


def sequence_index() -> IndexModel:
    """Returns the index by which the next job of a sequence is found. It is made with the first sequence."""
    return _index("sequence", TURN_ORDER, _present("turn"))


def awaited_index() -> IndexModel:
    """Returns the index by which jobs are counted that wait for a signal. It is made before the first of them waits."""
    return _index("awaits", AWAITED_ORDER, _present("awaits.name"))


def has_awaited(database: Database[Document], options: SchedulerOptions) -> bool:
    """Whether a job has ever waited for a signal, as the index tells."""
    return str(awaited_index().document["name"]) in database[options.job_store].index_information()


def has_sequences(database: Database[Document]) -> bool:
    """Whether somebody has used a sequence: their counters come after the index, and before their jobs."""
    return SEQUENCES in database.list_collection_names(filter={"name": SEQUENCES})


def _list_indexes() -> list[IndexModel]:
    """Returns the indexes by which programs, families, services and lists of jobs are found."""
    return [
        _index("tracked", [("program.host", ASCENDING)], {**_present("program"), **_RUNNING}),
        _index("parent", [("parent", ASCENDING)], _present("parent")),
        _index("series", [("series", ASCENDING)], _present("series")),
        _index("schedule", [("schedule", ASCENDING), ("_id", DESCENDING)], _present("schedule")),
        _index("service", [("service.name", ASCENDING)], _present("service.name"), unique=True),
        _index("live_list", [("class", ASCENDING), ("_id", ASCENDING)], {"status": {"$lte": int(Status.PROCESSING)}}),
        _index("unsuccessful", [("status", ASCENDING), ("_id", DESCENDING)], {"status": {"$gt": int(Status.DONE)}}),
        _index("failures", [("fingerprint", ASCENDING), ("ended", DESCENDING)], _present("fingerprint")),
    ]


def flow_indexes() -> list[IndexModel]:
    """Returns the indexes of the job store that are there as soon as there was a flow.

    Only jobs of flows are in them. A job is in `open` until it is DONE, so that a look tells whether all of a join are.
    """
    return [
        _index("flow", [("flow", ASCENDING), ("_id", ASCENDING)], _present("flow")),
        _index("open", [("open", ASCENDING)], _present("open")),
    ]


def batch_index() -> IndexModel:
    """Returns the index by which a node finds jobs for a batch that gathers. It is made with the first batch."""
    keys = [("class", ASCENDING), ("queue", ASCENDING), *CLAIM_ORDER]
    return _index("batch", keys, {"status": int(Status.WAITING), **_present("batch")})


def retention_index(status: Status) -> str:
    """Returns the name of the index of ended jobs in this status."""
    return f"retention_{status.label}"


def _retention_indexes(options: SchedulerOptions, present: Indexes) -> list[IndexModel]:
    """Returns the indexes that delete ended jobs. Those of an older database keep them as long as it did, or longer."""
    older = present.get(OLDER_RETENTION, {}).get("expireAfterSeconds")
    return [_ended_index(status, _seconds(status, options, older)) for status in sorted(FINAL)]


def _ended_index(status: Status, seconds: int) -> IndexModel:
    of_status = {"status": int(status)}
    return _index(retention_index(status), [("ended", ASCENDING)], of_status, expireAfterSeconds=seconds)


def _seconds(status: Status, options: SchedulerOptions, older: int | None = None) -> int:
    chosen = _ttl(getattr(options, _option(status)))
    if older is None or _option(status) in options.given:
        return chosen
    return max(chosen, older) if status in DEAD_LETTERS else older


def _option(status: Status) -> str:
    return "failed_retention" if status in DEAD_LETTERS else "job_retention"


def _ttl(seconds: float) -> int:
    return max(1, round(seconds)) if seconds else _FOR_EVER


def _index(name: str, keys: Sequence[tuple[str, int]], condition: Mapping[str, Any], **options: Any) -> IndexModel:
    return IndexModel(keys, name=name, partialFilterExpression=condition, **options)


def _present(field: str) -> Document:
    return {field: {"$exists": True}}


def ensure(database: Database[Document], options: SchedulerOptions) -> frozenset[str]:
    """Creates missing collections and indexes, and applies sizes and a retention that somebody chose.

    Returns the names of the collections that were there. DatabaseError if the collection of the jobs is capped, as
    php-task-scheduler v3 made it: it would lose jobs.
    """
    existing, present = complete(database, options)
    _apply_chosen(database, options)
    _retire_older(database, options, present)
    return frozenset(existing)


def complete(database: Database[Document], options: SchedulerOptions) -> tuple[Collections, Indexes]:
    """Does the same, but leaves alone what is there; returns the collections and the indexes of jobs that were there.

    What somebody chose for the capped collections is applied.
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
    present = settled_indexes(database[options.job_store])
    wanted = job_indexes(options, present, SEQUENCES in existing)
    of_flows = flow_indexes() if FLOWS in existing else []
    _create_lacking(database, options.job_store, [*wanted, *of_flows], present)
    ensure_indexes(database, NODES, [IndexModel([("alive", ASCENDING)], name="retention", expireAfterSeconds=_A_DAY)])
    for name, create in ((METRICS, ensure_metrics), (LOGS, ensure_logs)):
        if name not in existing:
            _try_to_create(database, name, create)
    return existing, present


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
    shared = _index("shared", [("shared", ASCENDING)], _present("shared"))
    ensure_indexes(database, LOGS, [IndexModel(order, name="place", unique=True), shared])


def ensure_metrics(database: Database[Document]) -> None:
    """Creates the index that deletes old metrics, if it is missing."""
    ensure_indexes(database, METRICS, [IndexModel([("expires", ASCENDING)], name="retention", expireAfterSeconds=0)])


def ensure_indexes(database: Database[Document], collection: str, wanted: list[IndexModel]) -> None:
    """Creates missing indexes and writes nothing if there are none, so most users need no right to create any."""
    _create_lacking(database, collection, wanted, settled_indexes(database[collection]))


def settled_indexes(collection: Collection[Document]) -> Indexes:
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


def missing_indexes(database: Database[Document], options: SchedulerOptions) -> list[str]:
    """Returns the names of the indexes that the job store lacks, and of those that the server is making just now."""
    present = database[options.job_store].index_information()
    used = set(database.list_collection_names(filter={"name": {"$in": [SEQUENCES, FLOWS]}}))
    indexes = job_indexes(options, present, SEQUENCES in used) + (flow_indexes() if FLOWS in used else [])
    wanted = [str(model.document["name"]) for model in indexes]
    begun = [f"{spec['name']} (the server is making it)" for spec in begun_indexes(database[options.job_store])]
    return [*(name for name in wanted if name not in present), *begun]


def await_indexes(collection: Collection[Document]) -> None:
    """Returns when the server has made all indexes of a collection that it is making."""
    if begun := begun_indexes(collection):
        collection.database.command("createIndexes", collection.name, indexes=begun)


def begun_indexes(collection: Collection[Document]) -> list[Document]:
    """Returns the indexes that the server is making. It lists them with the others, and refuses to search by them.

    It goes on if who has asked for them is gone.
    """
    try:
        asked = {"listIndexes": collection.name, "includeBuildUUIDs": True}
        answer = read_command(collection.database, asked)
    except OperationFailure:  # there is no such collection, or this server does not tell
        return []
    return [entry["spec"] for entry in answer["cursor"]["firstBatch"] if "buildUUID" in entry]
