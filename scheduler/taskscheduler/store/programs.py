"""Writes the records of tracked programs, and ends the records of programs that are silent or gone.

A record is a job that is PROCESSING from the start and that no node has claimed. It has `claim` and `program` but no
`boot`, so no node treats it as its own. All times are the server's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from taskscheduler.model.control.keys import SOLO, keys_of
from taskscheduler.model.control.keys import key as control_key
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status, Transition, Verdict
from taskscheduler.model.readable import fault_of_record
from taskscheduler.model.sound import sound
from taskscheduler.process_identity import is_gone, this_host
from taskscheduler.store.attempts.completion import Completion, is_written
from taskscheduler.store.attempts.ending import final_update
from taskscheduler.store.control.admission import Admission
from taskscheduler.store.control.places import PlaceStore
from taskscheduler.store.control_updates import silent_at
from taskscheduler.store.event_log import EventLog
from taskscheduler.store.fence import Fence
from taskscheduler.store.jobs import InvalidJobs
from taskscheduler.store.lenient_reads import change_one, read, read_one, seconds_or_zero
from taskscheduler.store.on_demand.making import OnDemandIndexes
from taskscheduler.store.outbox import FAMILY, Outbox

_RUNNING: Document = {"program": {"$exists": True}, "status": int(Status.PROCESSING)}

_SILENT = {
    "$and": [
        {"$gt": [seconds_or_zero("$options.silence_timeout"), 0]},
        {"$lt": [silent_at("$options.silence_timeout"), "$$NOW"]},  # a null is before every date
    ]
}

#: the fields of a record that its end needs
_END_FIELDS = dict.fromkeys(("claim", "attempt", "solo", "program", "options", "class"), 1)

_LOGGED = ("attempt", "node")

_TRIES = 10


class ProgramStore:
    """The records of programs that run outside of the nodes."""

    def __init__(
        self,
        collection: Collection[Document],
        invalid: InvalidJobs,
        places: PlaceStore,
        admission: Admission,
        outbox: Outbox,
        events: EventLog,
        on_demand: OnDemandIndexes,
    ) -> None:
        self._collection = collection
        self._invalid = invalid
        self._places = places
        self._admission = admission
        self._outbox = outbox
        self._events = events
        self._on_demand = on_demand

    def begin(self, document: Document) -> Document | None:
        """Stores a record that runs from now on; returns the job that holds its solo lock, or None if it was stored."""
        self._on_demand.before([document])
        for _ in range(_TRIES):
            try:
                self._insert(document)
            except DuplicateKeyError:
                holder = self._holder(document["gate"])
                if holder is not None:
                    return holder
            else:
                self._log(document, Status.PROCESSING)
                return None
        return document

    def _insert(self, document: Document) -> None:
        times = {"created": True, "started": True, "alive": True, "at": True}
        fixed = {name: value for name, value in document.items() if name not in (*times, "_id")}
        self._collection.update_one(
            {"_id": document["_id"]}, {"$setOnInsert": fixed, "$currentDate": times}, upsert=True
        )

    def _holder(self, key: str) -> Document | None:
        """Returns the job that holds a solo lock; None if it is free by now."""
        self.end_silent({"gate": key})
        if self._places.free_expired(control_key(SOLO, key)):
            return None
        return read_one(self._collection, lambda jobs: jobs.find_one({"gate": key}))

    def report(self, fence: Fence, changes: Mapping[str, Any]) -> bool:
        """Writes a sign of life and the fields that came with it; False if somebody else has ended the record."""
        update: Document = {"$currentDate": {"alive": True}}
        if changes:
            update["$set"] = dict(changes)
        return self._collection.update_one(fence.filter(), update).matched_count == 1

    def end(self, completion: Completion, again: bool = False) -> bool:
        """Writes the end of a program; False if somebody else has ended the record.

        `again`: the answer to an earlier try was lost, so the stored end may be this one.
        """
        return self._end(completion, completion.fence.filter()) or (again and self._has_ended(completion))

    def release_lock(self, fence: Fence) -> None:
        """Releases the solo lock of a record that somebody else ended; its program has noticed and is about to exit."""
        self._admission.release(fence)

    def end_silent(self, query: Mapping[str, Any]) -> list[Document]:
        """Ends the matching records of programs that are silent or gone, and returns them as they are now.

        Silent: no sign of life for longer than its silence timeout. Gone: it ran on this host and no process is left.
        """
        silent = {"options.silence_timeout": {"$gt": 0}, "$expr": _SILENT}
        ends = [(_end_of_silent(job), {"$expr": _SILENT}) for job in self._running({**query, **silent})]
        here = self._running({**query, "program.host": this_host()})
        ends += [(_end_of_lost(job), {"program": {"$eq": job["program"]}}) for job in here if _is_gone(job["program"])]
        ended = [end.fence.job_id for end, still in ends if self._end(end, {**end.fence.filter(), **still})]
        return read(self._collection, lambda jobs: jobs.find({"_id": {"$in": ended}})) if ended else []

    def _running(self, query: Mapping[str, Any]) -> list[Document]:
        """Returns the matching records that can be ended; one without a proper fence fails at once."""
        found = self._on_demand.read(
            "tracked", lambda jobs: jobs.find({**query, **_RUNNING}, _END_FIELDS).hint("tracked")
        )
        for job in found:
            if (fault := fault_of_record(job)) is not None:
                self._invalid.fail(job["_id"], fault.error(), _RUNNING)
        return [job for job in found if fault_of_record(job) is None]

    def _end(self, completion: Completion, query: Document) -> bool:
        before = change_one(self._collection, query, final_update(completion))
        if before is None:
            return False
        self._follow_up(completion, before)
        return True

    def _has_ended(self, completion: Completion) -> bool:
        """Whether this end is stored for good."""
        fence = completion.fence
        # a write that changes nothing is answered once a majority has everything that was written before it
        self._collection.update_one(fence.named(), {"$set": {"claim": fence.claim}})
        fields = dict.fromkeys(("status", "claim", *_LOGGED), 1)
        job = read_one(self._collection, lambda jobs: jobs.find_one({"_id": fence.job_id}, fields))
        if job is None or not is_written(completion, job):
            return False
        self._follow_up(completion, job)
        return True

    def _follow_up(self, completion: Completion, job: Mapping[str, Any]) -> None:
        """Logs an end, admits the next solo job and delivers the effects; safe to repeat."""
        self._log(job, completion.verdict.status)
        if completion.keys:
            self._admission.admit_next(completion.keys)
        if completion.effects:
            self._outbox.deliver(completion.fence.job_id)

    def _log(self, job: Mapping[str, Any], status: Status) -> None:
        entry = {"job": job["_id"], "status": int(status), "attempt": sound(job, "attempt", 0)}
        self._events.append([entry], sound(job, "node"))


def _is_gone(program: Any) -> bool:
    return isinstance(program, Mapping) and is_gone(program)


def _fence(job: Mapping[str, Any]) -> Fence:
    return Fence(job["_id"], job["claim"], job["attempt"])


def _end_of_silent(job: Mapping[str, Any]) -> Completion:
    message = f"no sign of life for {job['options']['silence_timeout']:g} s"
    return _end_by_others(job, Transition.EXPIRE, {"type": "SilenceError", "message": message})


def _end_of_lost(job: Mapping[str, Any]) -> Completion:
    message = f"its program, pid {job['program']['pid']} on {job['program']['host']}, is gone"
    return _end_by_others(job, Transition.FAIL, {"type": "ProgramLostError", "message": message})


def _end_by_others(job: Mapping[str, Any], transition: Transition, error: Document) -> Completion:
    name, keys = sound(job, "class", ""), keys_of(job)
    return Completion(_fence(job), Verdict(transition), error=error, job=name, effects=(FAMILY,), keys=keys)
