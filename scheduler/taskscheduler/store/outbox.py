"""Delivers the effects of ended jobs at least once: the next run, the family, the hook. Survives crashes.

The write that ends a job also writes the names of its effects to `pending`. If a process dies right after that write,
any node delivers them later. Each effect is a write that changes nothing when it is repeated:

    next     inserts the next run of a series under its deterministic id, then removes the plan
    family   cancels the children of a job that did not succeed, and fails the parent of a failed one
    flow     lets out or cancels the jobs that come after one that did not succeed, or that feeds them
    hook     calls the job class's `notification`, which only a node can do; `hook:` and its boot id while it does
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from taskscheduler.model.control.urgency import urgent_and_waiting
from taskscheduler.model.document import Document
from taskscheduler.model.flows.membership import MEMBER_FIELDS
from taskscheduler.model.lenient import as_stored
from taskscheduler.model.lifecycle import LIVE, Status, Transition
from taskscheduler.model.readable import fault_of_ended
from taskscheduler.model.schedules import successor
from taskscheduler.model.sound import sound, status_of
from taskscheduler.store.control.admission import Admission
from taskscheduler.store.event_log import EventLog
from taskscheduler.store.families import FamilyStore
from taskscheduler.store.fence import from_statuses
from taskscheduler.store.flows.effects import Ended, FlowEffects, FlowEnd, end_of
from taskscheduler.store.flows.flow_node import NO_NODE, FlowNode
from taskscheduler.store.jobs import InvalidJobs, JobStore
from taskscheduler.store.lenient_reads import ONLY_ID, read, read_one
from taskscheduler.store.wakeups import WakeupQueue

logger = logging.getLogger(__name__)

NEXT, FAMILY, FLOW, HOOK = "next", "family", "flow", "hook"

ALL_EFFECTS = (NEXT, FAMILY, FLOW, HOOK)

_FINAL = from_statuses(Transition.REQUEUE)

_AT_ONCE = 1000  #: cancelled jobs whose effects are delivered together

_CHILD_FAILED = {Status.FAILED: "child job failed", Status.TIMEOUT: "child job timed out"}


def _acknowledge_update(effect: str, *removed: str) -> list[Document]:
    """Removes a delivered effect, and fields with it. With its last effect a job leaves the index `pending`.

    One update, since a process may die between two.
    """
    left = {"$filter": {"input": {"$ifNull": ["$pending", []]}, "cond": {"$ne": ["$$this", effect]}}}
    kept = {"$cond": [{"$eq": ["$pending", []]}, "$$REMOVE", "$pending"]}
    return [{"$set": {"pending": left}}, {"$set": {"pending": kept}}, *([{"$unset": list(removed)}] if removed else [])]


def _held(boot: ObjectId) -> str:
    return f"{HOOK}:{boot}"


class Outbox:
    """The undelivered effects of ended jobs."""

    def __init__(
        self,
        jobs: JobStore,
        families: FamilyStore,
        invalid: InvalidJobs,
        wakeups: WakeupQueue,
        events: EventLog,
        admission: Admission,
        flow_effects: FlowEffects,
    ) -> None:
        self._jobs = jobs
        self._families = families
        self._invalid = invalid
        self._wakeups = wakeups
        self._events = events
        self._admission = admission
        self._flow_effects = flow_effects

    def deliver(self, job_id: ObjectId) -> list[Ended]:
        """Delivers the effects of one ended job, except hooks; returns the jobs that this ended, with their status."""
        relatives, others, left = list[Ended](), list[Ended](), deque([job_id])
        while left:  # which grows: families may be deeper than calls can be nested
            known = len(relatives)
            others += self._deliver(left.popleft(), relatives)
            left += [relative for relative, _ in relatives[known:]]
        return relatives + others

    def deliver_cancelled(self, ids: Sequence[ObjectId]) -> list[Ended]:
        """Delivers the effects of jobs that were cancelled before they ran, except hooks; most of them in few writes.

        Returns the jobs that this ended, with their status.
        """
        ended, left = list[Ended](), list(ids)
        while left:
            relatives, behind = self._deliver_cancelled(left[:_AT_ONCE])
            ended += relatives + behind
            left = left[_AT_ONCE:] + [job_id for job_id, status in behind if status is Status.CANCELED]
        return ended

    def _deliver_cancelled(self, ids: Sequence[ObjectId]) -> tuple[list[Ended], list[Ended]]:
        """Returns the jobs that were ended as relatives of these, and those that were cancelled as they come after."""
        parents = self._families.with_live_children(ids)
        childless = [job_id for job_id in ids if job_id not in parents]
        over = {"_id": {"$in": childless}, "status": int(Status.CANCELED)}
        collection = self._jobs.collection
        collection.update_many({**over, "pending": FAMILY}, _acknowledge_update(FAMILY))
        collection.update_many({**over, "pending": HOOK, "hook": False}, _acknowledge_update(HOOK))
        relatives = [ended for job_id in sorted(parents) for ended in self.deliver(job_id)]
        query, fields = {**over, "pending": FLOW}, dict.fromkeys(MEMBER_FIELDS, 1)
        found = read(collection, lambda jobs: jobs.find(query, fields))
        ends = [end for job in found if (end := end_of(job, Status.CANCELED)) is not None]
        return relatives, self._follow_flows(ends) if ends else []

    def end_in_flows(self, ends: Sequence[FlowEnd], node: FlowNode = NO_NODE) -> list[Ended]:
        """Does what the ends of these jobs mean for their flows; returns the jobs that this ended."""
        behind = self._follow_flows(ends, node)
        return behind + self.deliver_cancelled([job_id for job_id, _ in behind])

    def _follow_flows(self, ends: Sequence[FlowEnd], node: FlowNode = NO_NODE) -> list[Ended]:
        behind = self._flow_effects.follow(ends, node)
        if noted := [end.job for end in ends if end.member.feeds or end.status is not Status.DONE]:
            query = {"_id": {"$in": noted}, "pending": FLOW}
            self._jobs.collection.update_many(query, _acknowledge_update(FLOW))
        return behind

    def _deliver(self, job_id: ObjectId, ended: list[Ended]) -> list[Ended]:
        """Returns the jobs that were ended as they come after this one; adds to `ended` those that are related."""
        job = self._jobs.get(job_id)
        if job is None or not status_of(job).is_final:
            return []
        fault = fault_of_ended(job)
        if fault is not None:
            logger.warning("effects of a job dropped: its field %s %s", *fault, extra={"job": str(job_id)})
            self._invalid.drop_effects(job_id, fault.error())
            return []
        pending = job.get("pending", ())
        if NEXT in pending:
            self._add_next(job)
        if FAMILY in pending:
            self._end_family(job, ended)
        if HOOK in pending and job.get("hook") is False:
            self.acknowledge(job_id, HOOK)
        if FLOW not in pending:
            return []
        end = end_of(job, status_of(job))
        if end is None:
            self.acknowledge(job_id, FLOW)
            return []
        return self.end_in_flows([end])

    def acknowledge(self, job_id: ObjectId, effect: str) -> bool:
        """Removes one effect; returns whether this call did, so that of several callers only one delivers it."""
        query = {"_id": job_id, "pending": effect}
        return self._jobs.collection.update_one(query, _acknowledge_update(effect)).modified_count == 1

    def begin_hook(self, job_id: ObjectId, boot: ObjectId) -> bool:
        """Notes that a node calls the hook of a job; returns whether it is this call that took it."""
        query = {"_id": job_id, "pending": HOOK}
        return self._jobs.collection.update_one(query, {"$set": {"pending.$": _held(boot)}}).modified_count == 1

    def end_hooks(self, job_ids: Sequence[ObjectId], boot: ObjectId) -> None:
        """Removes the hooks that a node has called."""
        query = {"_id": {"$in": list(job_ids)}, "pending": _held(boot)}
        self._jobs.collection.update_many(query, _acknowledge_update(_held(boot)))

    def return_hook(self, job_id: ObjectId, boot: ObjectId) -> None:
        """Leaves a hook to other nodes that this one could not call."""
        query = {"_id": job_id, "pending": _held(boot)}
        self._jobs.collection.update_one(query, {"$set": {"pending.$": HOOK}})

    def return_hooks(self, boot: ObjectId) -> None:
        """Leaves all hooks to other nodes that a node has begun to call and will not end."""
        self._jobs.collection.update_many({"pending": _held(boot)}, {"$set": {"pending.$": HOOK}})

    def undelivered(
        self, effects: list[str], limit: int, but: Sequence[Any] = (), unknown: Collection[str] = ()
    ) -> list[Document]:
        """Returns `_id` and `hook` of ended jobs that have one of these effects.

        Not of the jobs `but`, and no hooks of `unknown` classes.
        """
        query: Document = {"pending": {"$in": effects}, "status": _FINAL}
        if but:
            query["_id"] = {"$nin": list(but)}
        if unknown:
            query["$nor"] = [{"pending": [HOOK], "class": {"$in": sorted(unknown)}}]
        return read(self._jobs.collection, lambda jobs: jobs.find(as_stored(query), {"hook": 1}).limit(limit))

    def _add_next(self, job: Mapping[str, Any]) -> None:
        """Inserts the planned run, then removes the plan, unless the series was cancelled in the meantime."""
        plan, collection = job["next"], self._jobs.collection
        if not plan.get("canceled"):
            self._insert_next(job)
        planned = {"_id": job["_id"], "next._id": plan["_id"]}
        remove_plan = _acknowledge_update(NEXT, "next")
        if not collection.update_one({**planned, "next.canceled": {"$exists": False}}, remove_plan).modified_count:
            if read_one(collection, lambda jobs: jobs.find_one(planned, ONLY_ID)) is None:
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
        urgent, forced = urgent_and_waiting([document]), document["options"]["force_spawn"]
        self._wakeups.jobs_added([document["_id"]], [document["queue"]], later, forced, urgent)
        if "blocked" in document:
            self._admission.admit_next([document["blocked"]])

    def _end_family(self, job: Mapping[str, Any], ended: list[Ended]) -> None:
        status = status_of(job)
        if status is not Status.DONE:
            for child in self._families.children(job["_id"]):
                self._note_ended(child, Status.CANCELED, self._jobs.cancel(child), ended)
        if status in _CHILD_FAILED and "parent" in job:
            error = {"type": "ChildJobError", "message": f"{_CHILD_FAILED[status]}: {job['_id']}"}
            before = self._families.fail_parent(job["parent"], error)
            if before is not None:
                logger.warning("job failed: ChildJobError: %s", error["message"], extra={"job": str(job["parent"])})
            self._note_ended(job["parent"], Status.FAILED, before, ended)
        self.acknowledge(job["_id"], FAMILY)

    def _note_ended(self, job_id: ObjectId, status: Status, before: Document | None, ended: list[Ended]) -> None:
        if before is None or status_of(before) not in LIVE:
            return
        ended.append((job_id, status))
        self._events.append([{"job": job_id, "status": int(status), "attempt": sound(before, "attempt", 0)}])
        if status_of(before) is Status.PROCESSING:
            self._wakeups.jobs_cancelled([job_id])
        else:
            self._admission.ended(before)
