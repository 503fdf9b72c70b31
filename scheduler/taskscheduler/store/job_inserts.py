"""Inserts jobs durably, also through elections, and finds the stored job that a new one would repeat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import bson
from bson import ObjectId
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern

from taskscheduler.clock import Clock
from taskscheduler.errors import DuplicateJobError
from taskscheduler.model.document import Document, NewJob
from taskscheduler.model.lenient import UnreadableDocument
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.payload import CODEC
from taskscheduler.model.sound import sound
from taskscheduler.model.uniqueness import fingerprint
from taskscheduler.store.driver_errors import is_transient
from taskscheduler.store.jobs import LIVE_FILTER, OnceTakenError
from taskscheduler.store.lenient_reads import ONLY_ID, each, read_ids, read_one, undecoded
from taskscheduler.store.on_demand.making import OnDemandIndexes
from taskscheduler.store.resumable.tries import EarlierTries, tries

_BATCH = 1000  #: documents per insert command
_DUPLICATE_KEY = 11000


class JobInserts:
    """Inserts new jobs. The `_id` of a job is fixed before, so an insert whose answer was lost may be repeated."""

    def __init__(
        self, database: Database[Document], options: SchedulerOptions, clock: Clock, on_demand: OnDemandIndexes
    ) -> None:
        self.collection: Collection[Document] = database[options.job_store]
        self._confirming = self.collection.with_options(read_concern=ReadConcern("majority"))
        self._clock = clock
        self._on_demand = on_demand

    def insert(self, job: NewJob) -> None:
        """Stores one job durably; DuplicateJobError or OnceTakenError if its id or key is in use."""
        self._on_demand.before([job.document])
        for earlier in self._tries():
            try:
                self.collection.insert_one(job.raw)
                return
            except DuplicateKeyError as error:
                if "_id" not in (error.details or {}).get("keyPattern", {"_id": 1}):
                    raise OnceTakenError from error
                if earlier.error is None or not self._is_ours(job):
                    raise DuplicateJobError(job.id) from error
                if self._are_durable([job]):
                    return
            except PyMongoError as error:
                earlier.note(error)

    def insert_many(self, jobs: Sequence[NewJob]) -> None:
        """Stores all jobs durably, or none after the first refused one; its DuplicateJobError names that job."""
        self._on_demand.before(job.document for job in jobs)
        for start in range(0, len(jobs), _BATCH):
            self._insert_batch(jobs[start : start + _BATCH])

    def insert_missing(self, jobs: Sequence[Document]) -> None:
        """Stores those of these jobs whose ids are not in use; the others were stored before."""
        self._on_demand.before(jobs)
        for start in range(0, len(jobs), _BATCH):
            try:
                self.collection.insert_many(jobs[start : start + _BATCH], ordered=False)
            except BulkWriteError as error:
                # an id that is in use says nothing if a majority may not have that job: an election may take it back
                refused = any(entry.get("code") != _DUPLICATE_KEY for entry in error.details.get("writeErrors", []))
                if refused or error.details.get("writeConcernErrors"):
                    raise

    def _insert_batch(self, jobs: Sequence[NewJob]) -> None:
        for earlier in self._tries():
            try:
                self.collection.insert_many([job.raw for job in jobs], ordered=False)
                return
            except BulkWriteError as error:
                if is_transient(error):
                    earlier.note(error)
                    continue
                self._check_refused(jobs, error, earlier.error is not None)
                if self._are_durable(jobs):
                    return
            except PyMongoError as error:
                earlier.note(error)

    def _check_refused(self, jobs: Sequence[NewJob], error: BulkWriteError, tried_before: bool) -> None:
        """Raises the error of the batch, unless every refused job was stored by an earlier try."""
        for entry in error.details.get("writeErrors", []):
            if entry.get("code") != _DUPLICATE_KEY:
                raise error
            job = jobs[entry["index"]]
            if not (tried_before and self._is_ours(job)):
                raise DuplicateJobError(job.id) from error

    def _tries(self) -> Iterator[EarlierTries]:
        return tries(self._clock)

    def _is_ours(self, job: NewJob) -> bool:
        """Whether an earlier try stored the job that has this id."""
        query, fields = {"_id": job.id}, {"created": 1, "class": 1}
        found = read_one(self.collection, lambda jobs: jobs.find_one(query, fields)) or {}
        expected = (job.document["class"], _as_stored(job.document["created"]))
        created = sound(found, "created")
        return created is not None and (found.get("class"), created) == expected

    def _are_durable(self, jobs: Sequence[NewJob]) -> bool:
        """Whether a majority has what an earlier try stored; until then an election may roll it back."""
        ids = [job.id for job in jobs]
        return len(self._stored(self._confirming, ids)) == len(ids)

    def confirmed(self, job_id: ObjectId) -> Document | None:
        """Returns the job with this id as a majority of the servers has it."""
        return read_one(self._confirming, lambda jobs: jobs.find_one({"_id": job_id}))

    def taken_ids(self, ids: Sequence[ObjectId]) -> list[ObjectId]:
        """Returns those of these ids that are in use."""
        return self._stored(self.collection, ids)

    def _stored(self, collection: Collection[Document], ids: Sequence[ObjectId]) -> list[ObjectId]:
        return read_ids(collection, lambda jobs: jobs.find({"_id": {"$in": list(ids)}}, ONLY_ID))

    def same_live(self, name: str, data: Any, key: str, ignore_data: bool) -> Document | None:
        """Finds the job that add_job_once must not repeat: the one that holds the key, else a live one of equal data.

        With `ignore_data` any live job of the class counts; if no data are equal, the oldest. While the key moves from
        an ended run to the next one of its series, it stands in the plan of the ended run.
        """
        self._on_demand.make(["once"])  # else the server would look at all jobs
        held: Document = {"$or": [{"once": key}, {"pending": "next", "next.once": key}]}
        keyed = read_one(self.collection, lambda jobs: jobs.find_one(held))
        if keyed is not None:
            return keyed
        wanted, oldest = fingerprint(data), None
        query = same_live_query(name, data, ignore_data)
        for job in each(undecoded(self.collection).find(query).sort("_id", 1)):
            if not isinstance(job, UnreadableDocument) and fingerprint(job.get("data")) == wanted:
                return job
            oldest = oldest or job
        return oldest if ignore_data else None

    def same_queued(self, key: str) -> Document | None:
        """Finds the queued job that holds this key of the option `dedupe`, as a majority of the servers has it."""
        query: Document = {"dedupe": key, "status": {"$lt": int(Status.PROCESSING)}}
        return read_one(self._confirming, lambda jobs: jobs.find_one(query))


def _as_stored(date: datetime) -> datetime:
    return date.replace(microsecond=date.microsecond // 1000 * 1000)


def same_live_query(name: str, data: Any, ignore_data: bool) -> Document:
    """Matches the live jobs that add_job_once compares with a new one: they may be equal, or any with `ignore_data`."""
    query: Document = {"class": name, "status": LIVE_FILTER, "service": {"$exists": False}}
    return query if ignore_data else {**query, "$expr": _may_equal(data)}


def _may_equal(data: Any) -> Document:
    """Builds an expression that every equal value of `data` passes, mappings also with their keys in another order."""
    if isinstance(data, Mapping):
        size = {"$cond": [{"$eq": [{"$type": "$data"}, "object"]}, {"$bsonSize": "$data"}, -1]}
        return {"$eq": [size, len(bson.encode(data, codec_options=CODEC))]}
    return {"$eq": ["$data", {"$literal": data}]}
