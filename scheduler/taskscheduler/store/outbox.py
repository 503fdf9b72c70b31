"""Decides what an ended job still owes: its next run, its children, its parent. Crash-safe and repeatable.

The write that ends a job names the debts in `pending`, so a process that dies right after it leaves them to whoever
looks next. Each is paid by writes that change nothing when they are done twice:

    next     the next run of a series: insert it under its deterministic id, then forget the plan
    family   children of a job that did not succeed are cancelled, the parent of a failed one is failed
    hook     the job class's `notification`; only a node can call it
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import LIVE, Status
from taskscheduler.model.schedules import successor
from taskscheduler.store.event_log import EventLog
from taskscheduler.store.jobs import ENDED_FILTER, JobStore
from taskscheduler.store.solo_locks import SoloLocks
from taskscheduler.store.wakeups import WakeupQueue

NEXT, FAMILY, HOOK = "next", "family", "hook"

_CHILD_FAILED = {Status.FAILED: "child job failed", Status.TIMEOUT: "child job timed out"}


def _struck_out(debt: str, *gone: str) -> list[Document]:
    """The update that strikes out a debt; whoever owes nothing any more leaves the index of those that do.

    One update: between two, a process may die.
    """
    left = {"$filter": {"input": {"$ifNull": ["$pending", []]}, "cond": {"$ne": ["$$this", debt]}}}
    kept = {"$cond": [{"$eq": ["$pending", []]}, "$$REMOVE", "$pending"]}
    return [{"$set": {"pending": left}}, {"$set": {"pending": kept}}, *([{"$unset": list(gone)}] if gone else [])]


class Outbox:
    """Pays the debts of ended jobs."""

    def __init__(self, jobs: JobStore, messages: WakeupQueue, events: EventLog, gates: SoloLocks) -> None:
        self._jobs = jobs
        self._messages = messages
        self._events = events
        self._gates = gates

    def deliver(self, job_id: ObjectId) -> list[tuple[ObjectId, Status]]:
        """Do all that a library may do for one ended job; the other jobs that this ended, with their status."""
        ended: list[tuple[ObjectId, Status]] = []
        self._settle(job_id, ended)
        for other, _ in ended:  # which grows: families may be deeper than calls can be nested
            self._settle(other, ended)
        return ended

    def _settle(self, job_id: ObjectId, ended: list[tuple[ObjectId, Status]]) -> None:
        job = self._jobs.get(job_id)
        if job is None:
            return
        pending = job.get("pending", ())
        if NEXT in pending:
            self._add_next(job)
        if FAMILY in pending:
            self._settle_family(job, ended)
        if HOOK in pending and job.get("hook") is False:
            self.acknowledge(job_id, HOOK)

    def acknowledge(self, job_id: ObjectId, debt: str) -> bool:
        """Strike out one debt; whether it was this call that did."""
        query = {"_id": job_id, "pending": debt}
        return self._jobs.collection.update_one(query, _struck_out(debt)).modified_count == 1

    def restore(self, job_id: ObjectId, debt: str) -> None:
        """Write a debt down again that was struck out and not paid."""
        query = {"_id": job_id, "status": ENDED_FILTER}
        self._jobs.collection.update_one(query, {"$addToSet": {"pending": debt}})

    def undelivered(self, debts: list[str], limit: int) -> list[Document]:
        """Ended jobs with one of these debts."""
        return list(self._jobs.collection.find({"pending": {"$in": debts}}).limit(limit))

    def _add_next(self, job: Mapping[str, Any]) -> None:
        """Insert the planned run, then forget the plan, unless the series was cancelled in the meantime."""
        plan, collection = job["next"], self._jobs.collection
        if not plan.get("canceled"):
            self._insert_next(job)
        planned = {"_id": job["_id"], "next._id": plan["_id"]}
        forget = _struck_out(NEXT, "next")
        if not collection.update_one({**planned, "next.canceled": {"$exists": False}}, forget).modified_count:
            if collection.find_one(planned, {"_id": 1}) is None:
                return  # another process was faster
            self._jobs.cancel(plan["_id"])
            collection.update_one(planned, _struck_out(NEXT, "next", "once"))

    def _insert_next(self, job: Mapping[str, Any]) -> None:
        """The key of add_job_once moves from the ended run to the next one; in between it stands in the plan."""
        document, collection = successor(job), self._jobs.collection
        key = job.get("once", job["next"].get("once"))
        if key is not None:
            document["once"] = document["once_key"] = key
            planned = {"_id": job["_id"], "next._id": document["_id"]}
            collection.update_one(planned, {"$set": {"next.once": key}, "$unset": {"once": ""}})
        try:
            collection.insert_one(document)
        except DuplicateKeyError:
            return  # added already, or an add_job_once has put another job in its place
        later = document["status"] == Status.POSTPONED
        self._messages.jobs_added([document["_id"]], [document["queue"]], later, document["options"]["force_spawn"])
        if "parked_at" in document:
            self._gates.admit_next([document["solo"]])

    def _settle_family(self, job: Mapping[str, Any], ended: list[tuple[ObjectId, Status]]) -> None:
        status = Status(job["status"])
        if status is not Status.DONE:
            for child in self._jobs.children(job["_id"]):
                self._end(child, Status.CANCELED, self._jobs.cancel(child), ended)
        if status in _CHILD_FAILED and "parent" in job:
            error = {"type": "ChildJobError", "message": f"{_CHILD_FAILED[status]}: {job['_id']}"}
            self._end(job["parent"], Status.FAILED, self._jobs.fail_parent(job["parent"], error), ended)
        self.acknowledge(job["_id"], FAMILY)

    def _end(
        self, job_id: ObjectId, status: Status, before: Document | None, ended: list[tuple[ObjectId, Status]]
    ) -> None:
        if before is None or before["status"] not in LIVE:
            return
        ended.append((job_id, status))
        self._events.append([{"job": job_id, "status": int(status), "attempt": before["attempt"]}])
        if before["status"] == Status.PROCESSING:
            self._messages.jobs_cancelled([job_id])
        elif "gate" in before:
            self._gates.admit_next([before["gate"]])
