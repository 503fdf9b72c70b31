"""The stored flows: one document each, added with all its jobs in one transaction.

A flow is `running` until none of its jobs is live. Then it gets its last status and `ended`, once; `expires` says when
it is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.read_concern import ReadConcern

from taskscheduler.model.document import Document
from taskscheduler.model.flows.flow import CANCELED, DONE, FAILED, RUNNING
from taskscheduler.model.lenient import as_stored
from taskscheduler.model.lifecycle import DEAD_LETTERS, LIVE, Status
from taskscheduler.model.options import FLOWS, SchedulerOptions
from taskscheduler.store.client import DURABLE
from taskscheduler.store.flows.flow_jobs import FlowJobs
from taskscheduler.store.indexes.definitions import ON_DEMAND
from taskscheduler.store.lenient_reads import ONLY_ID, change_one, read, read_ids, read_one
from taskscheduler.store.schema import ensure_indexes

T = TypeVar("T")

_BATCH = 1000  #: documents per insert command

_DUPLICATE_KEY = 11000

_LAST_CHARACTER = "\U0010ffff"

_INDEXES = [
    IndexModel([("status", ASCENDING), ("_id", DESCENDING)], name="status"),
    IndexModel([("name", ASCENDING), ("_id", DESCENDING)], name="name"),
    IndexModel(
        [("expires", ASCENDING)],
        name="retention",
        expireAfterSeconds=0,
        partialFilterExpression={"expires": {"$exists": True}},
    ),
]

_LIVE = {"$in": sorted(map(int, LIVE))}


class TakenError(Exception):
    """An id of a flow or of one of its jobs is in use."""

    def __init__(self, job_id: Any) -> None:
        super().__init__(f"the id {job_id} is in use")
        self.job_id = job_id


class Wanted(NamedTuple):
    """Which flows are to be listed."""

    status: str = ""
    begins: str = ""  #: how their names begin
    before: ObjectId | None = None  #: only those that were added before this one

    def query(self) -> Document:
        """Returns the query that finds them."""
        query: Document = {"status": self.status} if self.status else {}
        if self.begins:
            query["name"] = {"$gte": self.begins, "$lt": self.begins + _LAST_CHARACTER}
        if self.before is not None:
            query["_id"] = {"$lt": self.before}
        return query


class FlowStore:
    """The flows of one database."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, in_use: bool) -> None:
        self.collection: Collection[Document] = database[FLOWS]
        self.jobs = FlowJobs(database, options)
        self._options = options
        self.is_ensured = False  #: whether the indexes of flows are there, as far as that is known
        self.max_payload = options.max_payload
        self.in_use = in_use  #: whether there is or was a flow, as far as that is known

    # -- adding --------------------------------------------------------------------------------------------------------

    def add(self, flow: Mapping[str, Any], jobs: Sequence[RawBSONDocument]) -> None:
        """Stores a flow and all its jobs, or nothing of it. TakenError if an id is in use."""
        self.ensure()

        def insert(session: ClientSession) -> None:
            try:
                self.collection.insert_one(dict(flow), session=session)
            except DuplicateKeyError as error:
                raise TakenError(flow["_id"]) from error
            self.insert(jobs, session)

        self.in_one_transaction(insert)

    def in_one_transaction(self, write: Callable[[ClientSession], T]) -> T:
        """Calls `write` in a transaction, again after an election or a conflict; returns what it returned."""
        with self.collection.database.client.start_session() as session:
            return session.with_transaction(write, ReadConcern("snapshot"), DURABLE)

    def insert(self, jobs: Sequence[RawBSONDocument], session: ClientSession) -> None:
        """Stores jobs in a transaction. TakenError."""
        try:
            for start in range(0, len(jobs), _BATCH):
                self.jobs.collection.insert_many(jobs[start : start + _BATCH], session=session)
        except BulkWriteError as error:
            if (taken := _taken_id(error)) is not None:
                raise TakenError(taken) from error
            raise

    def ensure(self) -> None:
        """Creates the collection of flows and the indexes of their jobs if they are missing."""
        if not self.is_ensured:
            database = self.collection.database
            ensure_indexes(database, FLOWS, _INDEXES)
            ensure_indexes(database, self.jobs.collection.name, [ON_DEMAND["flow"], ON_DEMAND["open"]])
            self.is_ensured = self.in_use = True

    # -- reading -------------------------------------------------------------------------------------------------------

    def get(self, flow_id: Any) -> Document | None:
        """Returns the flow with this id."""
        query = as_stored({"_id": {"$eq": flow_id}})
        return read_one(self.collection, lambda flows: flows.find_one(query))

    def page(self, limit: int, wanted: Wanted) -> list[Document]:
        """Returns those of the wanted flows that are the newest, the newest first."""
        query = wanted.query()
        return read(self.collection, lambda flows: flows.find(query).sort("_id", -1).limit(limit))

    def running(self, after: ObjectId | None, limit: int) -> list[ObjectId]:
        """Returns the ids of flows that have not ended, those behind this one in the order of their ids."""
        query: Document = {"status": RUNNING, "_id": {"$lt": after} if after is not None else {"$exists": True}}
        return read_ids(self.collection, lambda flows: flows.find(query, ONLY_ID).sort("_id", -1).limit(limit))

    def ended_since(self, since: datetime) -> list[Document]:
        """Returns the flows that have ended since then, those first that ended first."""
        ended = {"status": {"$in": [DONE, FAILED, CANCELED]}, "ended": {"$gte": since}}
        return read(self.collection, lambda flows: flows.find(ended).sort("ended", 1))

    def are_used(self) -> bool:
        """Returns whether there is or was a flow."""
        if not self.in_use:
            self.in_use = bool(read_ids(self.collection, lambda flows: flows.find({}, ONLY_ID).limit(1)))
        return self.in_use

    # -- the end -------------------------------------------------------------------------------------------------------

    def end(self, flow_id: ObjectId) -> Document | None:
        """Gives a running flow without live jobs its last status; returns its document if this call did that."""
        flow = self.get(flow_id)
        counts = self.jobs.counts(flow_id)
        if flow is None or any(counts.get(status) for status in LIVE):
            return None
        status = _last_status(counts)
        kept = self._options.failed_retention if status == FAILED else self._options.job_retention
        stage: Document = {
            "status": {"$cond": [{"$eq": [{"$type": "$cancel"}, "missing"]}, status, CANCELED]},
            "ended": "$$NOW",
            "counts": {"$literal": {one.label: number for one, number in counts.items() if number}},
        }
        if kept:
            stage["expires"] = {"$add": ["$$NOW", timedelta(seconds=kept) // timedelta(milliseconds=1)]}
        query = {"_id": flow_id, "status": RUNNING, "rev": {"$eq": flow.get("rev")}}  # nobody has put jobs back since
        return change_one(self.collection, query, [{"$set": stage}], return_document=ReturnDocument.AFTER)

    def reopen(self, flow_ids: Iterable[ObjectId]) -> None:
        """Has flows run again whose jobs are put back in the queue; to be called before that."""
        gone = dict.fromkeys(("ended", "expires", "counts", "cancel"), "")
        change = {"$set": {"status": RUNNING}, "$unset": gone, "$inc": {"rev": 1}}
        self.collection.update_many({"_id": {"$in": list(flow_ids)}}, change)

    def note_cancellation(self, flow_id: ObjectId, reason: str | None) -> Document | None:
        """Notes that a running flow is cancelled, so that nobody adds jobs to it; None if it does not run."""
        query, change = {"_id": flow_id, "status": RUNNING}, {"$set": {"cancel": {"reason": reason}}}
        return change_one(self.collection, query, change, return_document=ReturnDocument.AFTER)


def _taken_id(error: BulkWriteError) -> Any:
    """Returns the id that another job has; None if that is not why nothing was stored."""
    entries = error.details.get("writeErrors", [])
    taken = [entry for entry in entries if entry.get("code") == _DUPLICATE_KEY]
    return taken[0].get("keyValue", {}).get("_id", "?") if taken else None


def _last_status(counts: Mapping[Status, int]) -> str:
    if any(counts.get(status) for status in DEAD_LETTERS):
        return FAILED
    return CANCELED if counts.get(Status.CANCELED) else DONE
