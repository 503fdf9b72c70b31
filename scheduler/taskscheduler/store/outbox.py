"""Delivers the effects of ended jobs at least once: the next run, the family, the hook. Survives crashes.

The write that ends a job also writes the names of its effects to `pending`. If a process dies right after that write,
any node delivers them later. Each effect is a write that changes nothing when it is repeated:

    next     inserts the next run of a series under its deterministic id, then removes the plan
    family   cancels the children of a job that did not succeed, and fails the parent of a failed one
    hook     calls the job class's `notification`, which only a node can do
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import LIVE, Status
from taskscheduler.model.readable import fault_of_ended
from taskscheduler.model.schedules import successor
from taskscheduler.store.event_log import EventLog
from taskscheduler.store.families import FamilyStore
from taskscheduler.store.jobs import ENDED_FILTER, InvalidJobs, JobStore
from taskscheduler.store.lenient_reads import read
from taskscheduler.store.solo_locks import SoloLocks
from taskscheduler.store.wakeups import WakeupQueue

logger = logging.getLogger(__name__)

NEXT, FAMILY, HOOK = "next", "family", "hook"

_CHILD_FAILED = {Status.FAILED: "child job failed", Status.TIMEOUT: "child job timed out"}


def _acknowledge_update(effect: str, *removed: str) -> list[Document]:
    """Removes a delivered effect, and fields with it. With its last effect a job leaves the index `pending`.

    One update, since a process may die between two.
    """
    left = {"$filter": {"input": {"$ifNull": ["$pending", []]}, "cond": {"$ne": ["$$this", effect]}}}
    kept = {"$cond": [{"$eq": ["$pending", []]}, "$$REMOVE", "$pending"]}
    return [{"$set": {"pending": left}}, {"$set": {"pending": kept}}, *([{"$unset": list(removed)}] if removed else [])]


class Outbox:
    """The undelivered effects of ended jobs."""

    def __init__(
        self,
        jobs: JobStore,
        families: FamilyStore,
        invalid: InvalidJobs,
        wakeups: WakeupQueue,
        events: EventLog,
        locks: SoloLocks,
    ) -> None:
        self._jobs = jobs
        self._families = families
        self._invalid = invalid
        self._wakeups = wakeups
        self._events = events
        self._locks = locks

    def deliver(self, job_id: ObjectId) -> list[tuple[ObjectId, Status]]:
        """Delivers the effects of one ended job, except hooks; returns the jobs that this ended, with their status."""
        ended: list[tuple[ObjectId, Status]] = []
        self._deliver(job_id, ended)
        for other, _ in ended:  # which grows: families may be deeper than calls can be nested
            self._deliver(other, ended)
        return ended

    def _deliver(self, job_id: ObjectId, ended: list[tuple[ObjectId, Status]]) -> None:
        job = self._jobs.get(job_id)
        if job is None:
            return
        fault = fault_of_ended(job)
        if fault is not None:
            logger.warning("effects of a job dropped: its field %s %s", *fault, extra={"job": str(job_id)})
            self._invalid.drop_effects(job_id, fault.error())
            return
        pending = job.get("pending", ())
        if NEXT in pending:
            self._add_next(job)
        if FAMILY in pending:
            self._end_family(job, ended)
        if HOOK in pending and job.get("hook") is False:
            self.acknowledge(job_id, HOOK)

    def acknowledge(self, job_id: ObjectId, effect: str) -> bool:
        """Removes one effect; returns whether this call did, so that of several callers only one delivers it."""
        query = {"_id": job_id, "pending": effect}
        return self._jobs.collection.update_one(query, _acknowledge_update(effect)).modified_count == 1

    def restore(self, job_id: ObjectId, effect: str) -> None:
        """Adds an effect again that was acknowledged and could not be delivered."""
        query = {"_id": job_id, "status": ENDED_FILTER}
        self._jobs.collection.update_one(query, {"$addToSet": {"pending": effect}})

    def undelivered(self, effects: list[str], limit: int) -> list[Document]:
        """Returns `_id` and `hook` of ended jobs that have one of these effects."""
        query, fields = {"pending": {"$in": effects}}, {"hook": 1}
        return read(self._jobs.collection, lambda jobs: jobs.find(query, fields).limit(limit))

    def _add_next(self, job: Mapping[str, Any]) -> None:
        """Inserts the planned run, then removes the plan, unless the series was cancelled in the meantime."""
        plan, collection = job["next"], self._jobs.collection
        if not plan.get("canceled"):
            self._insert_next(job)
        planned = {"_id": job["_id"], "next._id": plan["_id"]}
        remove_plan = _acknowledge_update(NEXT, "next")
        if not collection.update_one({**planned, "next.canceled": {"$exists": False}}, remove_plan).modified_count:
            if collection.find_one(planned, {"_id": 1}) is None:
                return  # another process was faster
            self._jobs.cancel(plan["_id"])
            collection.update_one(planned, _acknowledge_update(NEXT, "next", "once"))

    def _insert_next(self, job: Mapping[str, Any]) -> None:
        """Moves the key of add_job_once from the ended run to the next one; in between the plan holds it."""
        document, collection = successor(job), self._jobs.collection
        key = job.get("once", job["next"].get("once"))
        if key is not None:
            document["once"] = document["once_key"] = key
            planned = {"_id": job["_id"], "next._id": document["_id"]}
            collection.update_one(planned, {"$set": {"next.once": key}, "$unset": {"once": ""}})
        try:
            collection.insert_one(document)
        except DuplicateKeyError:
            return  # inserted before, or add_job_once has added another job in its place
        later = document["status"] == Status.POSTPONED
        self._wakeups.jobs_added([document["_id"]], [document["queue"]], later, document["options"]["force_spawn"])
        if "parked_at" in document:
            self._locks.admit_next([document["solo"]])

    def _end_family(self, job: Mapping[str, Any], ended: list[tuple[ObjectId, Status]]) -> None:
        status = Status(job["status"])
        if status is not Status.DONE:
            for child in self._families.children(job["_id"]):
                self._note_ended(child, Status.CANCELED, self._jobs.cancel(child), ended)
        if status in _CHILD_FAILED and "parent" in job:
            error = {"type": "ChildJobError", "message": f"{_CHILD_FAILED[status]}: {job['_id']}"}
            self._note_ended(job["parent"], Status.FAILED, self._families.fail_parent(job["parent"], error), ended)
        self.acknowledge(job["_id"], FAMILY)

    def _note_ended(
        self, job_id: ObjectId, status: Status, before: Document | None, ended: list[tuple[ObjectId, Status]]
    ) -> None:
        if before is None or before["status"] not in LIVE:
            return
        ended.append((job_id, status))
        self._events.append([{"job": job_id, "status": int(status), "attempt": before["attempt"]}])
        if before["status"] == Status.PROCESSING:
            self._wakeups.jobs_cancelled([job_id])
        elif "gate" in before:
            self._locks.admit_next([before["gate"]])
