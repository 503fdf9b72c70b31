"""What tracked programs do to their records, and what others do to those of programs that are silent or gone.

A record is a job that is PROCESSING from the start and that no node has claimed: it has `claim` and `program`, but no
`boot`, so no node takes it for one of its own. All times are the server's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status, Transition, Verdict
from taskscheduler.process_identity import is_gone, this_host
from taskscheduler.store.attempt_updates import Completion, ended_update, has_landed
from taskscheduler.store.event_log import EventLog
from taskscheduler.store.fence import Fence
from taskscheduler.store.jobs import ENDED_FILTER
from taskscheduler.store.outbox import FAMILY, Outbox
from taskscheduler.store.solo_locks import SoloLocks

_RUNNING: Document = {"program": {"$exists": True}, "status": int(Status.PROCESSING)}

_SILENT = {
    "$lt": [{"$add": ["$alive", {"$multiply": ["$options.silence_timeout", 1000]}]}, "$$NOW"],
}

#: what is to be known of a record to end it
_BRIEF = dict.fromkeys(("claim", "attempt", "solo", "program", "options"), 1)

_LOGGED = ("attempt", "node")

_TRIES = 10


class ProgramStore:
    """The records of programs that no node runs."""

    def __init__(self, collection: Collection[Document], gates: SoloLocks, follow_up: Outbox, events: EventLog) -> None:
        self._collection = collection
        self._gates = gates
        self._follow_up = follow_up
        self._events = events

    def begin(self, document: Document) -> Document | None:
        """Store a record that runs from now on. If it is solo and not its turn: the job whose turn it is."""
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
        """Whose turn it is; None if nobody's any more."""
        self.end_silent({"gate": key})
        return None if self._gates.release_expired(key) else self._collection.find_one({"gate": key})

    def report(self, fence: Fence, said: Mapping[str, Any]) -> bool:
        """Note a sign of life and what came with it; False if the record has been ended by others."""
        update: Document = {"$currentDate": {"alive": True}}
        if said:
            update["$set"] = dict(said)
        return self._collection.update_one(fence.filter(), update).matched_count == 1

    def end(self, one: Completion, again: bool = False) -> bool:
        """Write how a program ended; False if the record has been ended by others.

        `again`: an earlier try was not answered, so it may be this very end that stands there.
        """
        return self._end(one, one.fence.filter()) or (again and self._has_ended(one))

    def release_lock(self, fence: Fence) -> None:
        """The program knows that others have ended its record, and is to end: the next of its key may begin."""
        self._gates.release(fence)

    def end_silent(self, query: Mapping[str, Any]) -> list[Document]:
        """End the matching records of programs that are silent or gone; as they are now.

        Silent: without a sign of life for longer than they promised. Gone: of this host, and nothing is left of them.
        """
        silent = {"options.silence_timeout": {"$gt": 0}, "$expr": _SILENT}
        ends = [(_silenced(job), {"$expr": _SILENT}) for job in self._running({**query, **silent})]
        here = self._running({**query, "program.host": this_host()})
        ends += [(_lost(job), {"program": job["program"]}) for job in here if is_gone(job["program"])]
        ended = [one.fence.job_id for one, still in ends if self._end(one, {**one.fence.filter(), **still})]
        return list(self._collection.find({"_id": {"$in": ended}})) if ended else []

    def _running(self, query: Mapping[str, Any]) -> list[Document]:
        return list(self._collection.find({**query, **_RUNNING}, _BRIEF).hint("tracked"))

    def delete_old(self, query: Mapping[str, Any], age: timedelta) -> int:
        """Delete the matching jobs, tracked or not, that ended longer ago and owe nothing; how many."""
        until = {"$subtract": ["$$NOW", age // timedelta(milliseconds=1)]}
        old = {"status": ENDED_FILTER, "pending": {"$exists": False}, "$expr": {"$lte": ["$ended", until]}}
        return self._collection.delete_many({**query, **old}).deleted_count

    def _end(self, one: Completion, query: Document) -> bool:
        before = self._collection.find_one_and_update(query, ended_update(one))
        if before is None:
            return False
        self._follow(one, before)
        return True

    def _has_ended(self, one: Completion) -> bool:
        """Whether this end is stored for good."""
        # a write that changes nothing is answered when a majority has all that was written before
        self._collection.update_one(one.fence.named(), {"$set": {"claim": one.fence.claim}})
        job = self._collection.find_one({"_id": one.fence.job_id}, dict.fromkeys(("status", "claim", *_LOGGED), 1))
        if job is None or not has_landed(one, job):
            return False
        self._follow(one, job)
        return True

    def _follow(self, one: Completion, job: Mapping[str, Any]) -> None:
        """What an end brings about; safe to repeat."""
        self._log(job, one.verdict.status)
        if one.solo:
            self._gates.admit_next([one.solo])
        if one.effects:
            self._follow_up.deliver(one.fence.job_id)

    def _log(self, job: Mapping[str, Any], status: Status) -> None:
        entry = {"job": job["_id"], "status": int(status), "attempt": job["attempt"]}
        self._events.append([entry], job["node"])


def _fence(job: Mapping[str, Any]) -> Fence:
    return Fence(job["_id"], job["claim"], job["attempt"])


def _silenced(job: Mapping[str, Any]) -> Completion:
    message = f"no sign of life for {job['options']['silence_timeout']:g} s"
    return _ended_by_others(job, Transition.EXPIRE, {"type": "SilenceError", "message": message})


def _lost(job: Mapping[str, Any]) -> Completion:
    message = f"its program, pid {job['program']['pid']} on {job['program']['host']}, is gone"
    return _ended_by_others(job, Transition.FAIL, {"type": "ProgramLostError", "message": message})


def _ended_by_others(job: Mapping[str, Any], move: Transition, error: Document) -> Completion:
    return Completion(_fence(job), Verdict(move), error=error, effects=(FAMILY,), solo=job.get("solo"))
