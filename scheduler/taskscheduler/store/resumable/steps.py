"""StepStore and SignalStore: what a running job has done once and for all, and what others tell it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import PyMongoError

from taskscheduler.clock import ServerClock
from taskscheduler.errors import PayloadTooLargeError
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import LIVE, Status
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.resumable.signals import MOST_SIGNALS, entries_in
from taskscheduler.store.attempts.completion import listed_in
from taskscheduler.store.driver_errors import is_too_large
from taskscheduler.store.fence import Fence
from taskscheduler.store.indexes.definitions import ON_DEMAND
from taskscheduler.store.lenient_reads import change_one, read_one
from taskscheduler.store.resumable.tries import tries
from taskscheduler.store.schema import ensure_indexes

_STATE = {"claim": 1, "attempt": 1, "status": 1, "steps": 1, "signals": 1, "now": "$$NOW"}

_LOOKS = 5  #: at a job that could be told, and was not

_SIGNALLED = dict.fromkeys(("status", "signals", "options", "service", "program"), 1)


class StepState(NamedTuple):
    """What a job has done and was told, as its running attempt reads it."""

    fence: Fence
    steps: list[Mapping[str, Any]]
    signals: list[Mapping[str, Any]]
    read: datetime  #: when, by the server's clock


class StepStore:
    """The steps of jobs that run. Every write is behind the fence of the attempt, and repeated through elections."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, clock: ServerClock) -> None:
        self._jobs: Collection[Document] = database[options.job_store]
        self._clock = clock
        self._ensured = False

    def ensure_awaited(self) -> None:
        """Makes the index of jobs that wait for a signal, if it is not there. To call before a job waits."""
        for earlier in () if self._ensured else tries(self._clock):
            try:
                ensure_indexes(self._jobs.database, self._jobs.name, [ON_DEMAND["awaits"]])
                self._ensured = True
                return
            except PyMongoError as error:
                earlier.note(error)

    def load(self, job_id: ObjectId, attempt: int) -> StepState | None:
        """Returns the state of a job that this attempt runs; None if the attempt has lost its job.

        An attempt that has begun has a number of its own, so that names it without its claim.
        """
        running: Document = {"_id": job_id, "status": int(Status.PROCESSING), "attempt": attempt}
        for earlier in tries(self._clock):
            try:
                job = read_one(self._jobs, lambda jobs: jobs.find_one(running, _STATE))
                if job is not None:
                    return _state(job)
                # not a look, which a primary may answer that is none any more: a majority confirms the write
                if not self._jobs.update_one(running, {"$currentDate": {"alive": True}}).matched_count:
                    return None
            except PyMongoError as error:
                earlier.note(error)
        return None

    def add(self, fence: Fence, entry: Mapping[str, Any]) -> bool:
        """Stores a step; returns whether the attempt still had its job.

        It is stored once, however often this is repeated. PayloadTooLargeError if the document of the job would grow
        beyond what MongoDB stores.
        """
        unknown = {**fence.filter(), "steps.name": {"$ne": entry["name"]}}
        for earlier in tries(self._clock):
            try:
                if self._jobs.update_one(unknown, {"$push": {"steps": dict(entry)}}).matched_count:
                    return True
                ours = {"name": entry["name"], "attempt": fence.attempt}
                known: Document = {**fence.filter(), "steps": {"$elemMatch": ours}}
                return self._jobs.count_documents(known, limit=1) > 0
            except PyMongoError as error:
                _check_size(error, fence.job_id, f"step {entry['name']!r}")
                earlier.note(error)
        return False

    def time_out(self, fence: Fence, name: str) -> None:
        """Stores that the attempt has waited long enough for a signal, unless that came before, or the job is lost."""
        absent = {**fence.filter(), "signals.name": {"$ne": name}}
        entry = {"name": name, "timed_out": True, "at": self._clock.now()}
        for earlier in tries(self._clock):
            try:
                self._jobs.update_one(absent, {"$push": {"signals": entry}})
                return
            except PyMongoError as error:
                earlier.note(error)


class SignalStore:
    """The signals of jobs: the first of each name holds."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, clock: ServerClock) -> None:
        self._jobs: Collection[Document] = database[options.job_store]
        self._clock = clock

    def add(self, job_id: ObjectId, name: str, value: Any) -> tuple[Document | None, ObjectId]:
        """Stores a signal unless the job has one of this name, or has ended; a job that waits for it is due then.

        Returns the job as a majority has it afterwards, None if it is not stored, and the `id` that the entry got if
        this has stored it. PayloadTooLargeError as above.
        """
        entry = {"name": name, "value": value, "id": ObjectId()}
        query: Document = {
            "_id": job_id,
            "status": {"$in": sorted(int(status) for status in LIVE)},
            "signals.name": {"$ne": name},
            f"signals.{MOST_SIGNALS - 1}": {"$exists": False},
            "service": {"$exists": False},
            "program": {"$exists": False},
        }
        looks, after, update = _LOOKS, ReturnDocument.AFTER, signal_update(entry)
        for earlier in tries(self._clock):
            try:
                job = change_one(self._jobs, query, update, projection=_SIGNALLED, return_document=after)
                # a write that matches nothing is confirmed by a majority, too, with all that was written before
                found = job or read_one(self._jobs, lambda jobs: jobs.find_one({"_id": job_id}, _SIGNALLED))
                if job is None and _could_be_told(found, name) and (looks := looks - 1):
                    continue  # it has become live since
                return found, entry["id"]
            except PyMongoError as error:
                _check_size(error, job_id, f"signal {name!r}")
                earlier.note(error)
        return None, entry["id"]


def signal_update(entry: Mapping[str, Any]) -> list[Document]:
    """Adds a signal to a job; one that waits for it is due at once."""
    added = {"$mergeObjects": [{"$literal": dict(entry)}, {"at": "$$NOW"}]}
    waits: list[Document] = [
        {"$eq": ["$status", int(Status.POSTPONED)]},
        {"$eq": ["$awaits.name", {"$literal": entry["name"]}]},
        {"$eq": [{"$type": "$parked_at"}, "missing"]},
    ]
    at = {"$cond": [{"$and": waits}, "$$NOW", "$at"]}
    return [{"$set": {"signals": {"$concatArrays": [listed_in("signals"), [added]]}, "at": at}}]


def _could_be_told(job: Mapping[str, Any] | None, name: str) -> bool:
    """Whether a job could have been given a signal of this name."""
    if job is None or job.get("status") not in set(map(int, LIVE)) or "service" in job or "program" in job:
        return False
    signals = entries_in(job.get("signals"))
    return len(signals) < MOST_SIGNALS and all(one["name"] != name for one in signals)


def _state(job: Mapping[str, Any]) -> StepState:
    fence = Fence(job["_id"], str(job.get("claim", "")), job["attempt"])
    return StepState(fence, entries_in(job.get("steps")), entries_in(job.get("signals")), job["now"])


def _check_size(error: PyMongoError, job_id: Any, what: str) -> None:
    if is_too_large(error):
        raise PayloadTooLargeError(
            f"{what} does not fit into job {job_id}: with its data, steps and signals its document would take more "
            "than 16 MiB; store large values elsewhere and pass references"
        ) from error
