"""Reads and writes jobs in a transaction. One method is one operation on MongoDB, told as steps.

A key that another adder takes meanwhile makes the server abort the transaction. That is no error of the application:
the one that is raised has the label after which the driver repeats the transaction, which then finds the other job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from taskscheduler.model.document import Document, NewJob
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import WINDOWS, SchedulerOptions
from taskscheduler.model.uniqueness import fingerprint
from taskscheduler.store.attempts.bad_ends import cancel_update
from taskscheduler.store.control.windows import Window, accept_update, put_off_update, settle_update, window_of
from taskscheduler.store.indexes.definitions import needed_by
from taskscheduler.store.job_inserts import same_live_query
from taskscheduler.store.jobs import LIVE_FILTER
from taskscheduler.store.on_demand.making import OnDemandIndexes
from taskscheduler.store.transactions.preparing import apart
from taskscheduler.store.transactions.sessions import conflict
from taskscheduler.store.transactions.steps import Apart, Call, Steps

_BATCH = 1000  #: documents of an insert or a read

_AFTER: Mapping[str, Any] = {"return_document": ReturnDocument.AFTER}


class SameJobs(NamedTuple):
    """What add_job_once looks for."""

    name: str
    data: Any
    key: str
    ignore_data: bool


class JobSteps:
    """The jobs of one database, in a transaction."""

    def __init__(self, options: SchedulerOptions, on_demand: OnDemandIndexes) -> None:
        self._store = options.job_store
        self._on_demand = on_demand
        self._lease = float(options.orphaned_timeout)

    def prepare(self, documents: Iterable[Mapping[str, Any]]) -> Steps[None]:
        """Makes the indexes that the first jobs of their kind need, before they are looked for or stored.

        Begins the transaction again if that takes too long.
        """
        needed = frozenset[str]().union(*map(needed_by, documents)) - self._on_demand.known
        if needed:
            yield Apart(lambda: apart(lambda: self._on_demand.make(needed), "the first job of its kind"))

    def get(self, job_id: Any) -> Steps[Document | None]:
        """Returns the job with this id."""
        found: Document | None = yield self._call("find_one", {"_id": job_id})
        return found

    def taken_ids(self, ids: Sequence[ObjectId]) -> Steps[list[ObjectId]]:
        """Returns those of these ids that are in use."""
        taken: list[ObjectId] = []
        for start in range(0, len(ids), _BATCH):
            query = {"_id": {"$in": list(ids[start : start + _BATCH])}}
            taken += [job["_id"] for job in (yield self._call("find", query, {"_id": 1}))]
        return taken

    def insert(self, jobs: Sequence[NewJob]) -> Steps[None]:
        """Stores these jobs."""
        yield from self.insert_documents(self._store, [job.raw for job in jobs])

    def insert_documents(self, collection: str, documents: Sequence[Mapping[str, Any]]) -> Steps[None]:
        """Stores documents in any collection."""
        try:
            if len(documents) == 1:
                yield Call(collection, "insert_one", (documents[0],))
                return
            for start in range(0, len(documents), _BATCH):
                yield Call(collection, "insert_many", (documents[start : start + _BATCH],))
        except (DuplicateKeyError, BulkWriteError) as error:
            raise conflict("somebody else has stored an equal document") from error

    def same_queued(self, key: str) -> Steps[Document | None]:
        """Finds the queued job that holds this key of the option `dedupe`."""
        query: Document = {"dedupe": key, "status": {"$lt": int(Status.PROCESSING)}}
        found: Document | None = yield self._call("find_one", query)
        return found

    def same_live(self, wanted: SameJobs) -> Steps[Document | None]:
        """Finds the job that add_job_once must not repeat. See `JobInserts.same_live`."""
        held: Document = {"$or": [{"once": wanted.key}, {"pending": "next", "next.once": wanted.key}]}
        keyed: Document | None = yield self._call("find_one", held)
        if keyed is not None:
            return keyed
        query = same_live_query(wanted.name, wanted.data, wanted.ignore_data)
        mark, oldest, last = fingerprint(wanted.data), None, None
        while True:
            page = query if last is None else {"$and": [query, {"_id": {"$gt": last}}]}
            jobs = yield self._call("find", page, sort=[("_id", 1)], limit=_BATCH)
            for job in jobs:
                if fingerprint(job.get("data")) == mark:
                    same: Document = job
                    return same
            oldest = oldest or (jobs[0] if jobs else None)
            if len(jobs) < _BATCH:
                return oldest if wanted.ignore_data else None
            last = jobs[-1]["_id"]

    def cancel(self, job_id: Any) -> Steps[Document | None]:
        """Cancels a live job; returns its new document, or None if it has ended."""
        query = {"_id": job_id, "status": LIVE_FILTER}
        found: Document | None = yield self._call(
            "find_one_and_update", query, cancel_update(self._lease, None), **_AFTER
        )
        return found

    def accept(self, key: str, job_id: ObjectId, seconds: float) -> Steps[Window]:
        """Opens a settled window of the option `unique_for` for this job unless there is one; returns what is there."""
        try:
            found = yield Call(
                WINDOWS,
                "find_one_and_update",
                ({"_id": key}, accept_update(key, job_id, seconds)),
                {"upsert": True, **_AFTER},
            )
        except DuplicateKeyError as error:
            raise conflict("somebody else has opened the window of an equal job") from error
        return window_of(found)

    def settle(self, key: str, seconds: float) -> Steps[None]:
        """Notes that the job of a window is stored, now."""
        yield Call(WINDOWS, "update_one", ({"_id": key}, settle_update("$$NOW", seconds)))

    def put_off(self, key: str, data: Any, seconds: float, most: float) -> Steps[Document | None]:
        """Gives the queued job of this key of the option `debounce` other data, and puts it off."""
        for status in (Status.POSTPONED, Status.WAITING):
            query = {"dedupe": key, "status": int(status)}
            found: Document | None = yield self._call(
                "find_one_and_update", query, put_off_update(data, seconds, most), **_AFTER
            )
            if found is not None:
                return found
        return None

    def _call(self, method: str, *arguments: Any, **options: Any) -> Call:
        return Call(self._store, method, arguments, options)
