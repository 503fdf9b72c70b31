"""What the end of jobs means for their flows: others may go on, are cancelled, or the flow has ended.

The write that ends a job takes it out of `open`. What follows from that is read from the database alone, so anybody may
do it at any time, and as often as he likes: `settle` looks whether joins are complete. Whoever writes an end does so at
once. If he dies before, a sweep does: of a node when it starts, when it has found another one lost, and now and then.
A bad end, or one whose result others take, has the effect `flow` in `pending` besides, which the outbox delivers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.model.control.keys import first_list, is_controlled, keys_of
from taskscheduler.model.control.urgency import urgent_among
from taskscheduler.model.document import Document
from taskscheduler.model.flows.inputs import filled, read_inputs
from taskscheduler.model.flows.membership import SKIP, Membership, join_of, membership_of
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.payload import payload_size
from taskscheduler.model.readable import Fault
from taskscheduler.model.sound import sound
from taskscheduler.store.control.admission import Admission
from taskscheduler.store.event_log import EventLog
from taskscheduler.store.flows.flow_node import NO_NODE, FlowNode
from taskscheduler.store.flows.flow_store import FlowStore
from taskscheduler.store.flows.joins import Broken, Joins
from taskscheduler.store.flows.results import FlowResults
from taskscheduler.store.jobs import InvalidJobs
from taskscheduler.store.wakeups import WakeupQueue

_AT_ONCE = 1000  #: jobs that are let out, or cancelled, in one write

_WITH_DATA = 100  #: jobs whose data are read at once

_PER_SWEEP = 1000  #: waiting jobs that one sweep looks at

_FLOWS_PER_SWEEP = 100

_ENDED_AS = {Status.FAILED: "has failed", Status.TIMEOUT: "has timed out", Status.CANCELED: "was cancelled"}


class FlowEnd(NamedTuple):
    """A job of a flow that has ended."""

    job: ObjectId
    status: Status
    member: Membership

    def complete(self) -> list[ObjectId]:
        """Returns the joins that are complete for sure: of this job alone."""
        return [self.job] if self.status is Status.DONE and self.job in self.member.joins else []

    def unsure(self) -> list[ObjectId]:
        """Returns the joins that may be complete."""
        joins = self.member.joins if self.status is Status.DONE else self.member.lenient
        return [join for join in joins if join != self.job or self.status is not Status.DONE]


def one_for_all(ends: Sequence[FlowEnd]) -> list[FlowEnd]:
    """Returns one of those ends that mean the same for their flow: the jobs of a layer share a membership."""
    alone, alike = list[FlowEnd](), dict[tuple[int, Status], FlowEnd]()
    for end in ends:
        if end.job in end.member.joins:
            alone.append(end)
        else:
            alike[id(end.member), end.status] = end
    return [*alone, *alike.values()]


Ended = tuple[ObjectId, Status]


class _Released(NamedTuple):
    """What letting out has come to."""

    any: bool  #: whether there were jobs to let out
    failed: list[Ended]  #: those that failed instead


class FlowEffects:
    """Carries out what follows from the ends of jobs of flows. Each step is safe to repeat."""

    def __init__(
        self,
        flows: FlowStore,
        joins: Joins,
        results: FlowResults,
        invalid: InvalidJobs,
        admission: Admission,
        wakeups: WakeupQueue,
        events: EventLog,
    ) -> None:
        self.flows = flows
        self.joins = joins
        self._results = results
        self._invalid = invalid
        self._admission = admission
        self._wakeups = wakeups
        self._events = events
        self._swept = ""  #: the last list that a sweep has looked at
        self._swept_flow: ObjectId | None = None

    def follow(self, ends: Sequence[FlowEnd], node: FlowNode = NO_NODE) -> list[Ended]:
        """Does what follows from these ends; returns the jobs that this ended, with their status.

        The effect `flow` of those and of these is left to be taken away.
        """
        self.flows.in_use = True
        some = one_for_all(ends)
        complete = dict.fromkeys(join for end in some for join in end.complete())
        unsure = dict.fromkeys(join for end in some for join in end.unsure())
        strict = {join for end in some for join in end.member.hard if join in unsure}
        left = node.still_runs(strict) if strict else set[ObjectId]()
        left |= self.joins.incomplete([join for join in unsure if join not in left])
        complete |= dict.fromkeys(join for join in unsure if join not in left)
        self._keep_results(ends, left)
        released = self._release(list(complete), node)
        broken = dict.fromkeys(join for end in some if end.status is not Status.DONE for join in end.member.hard)
        ended = self._break(list(broken))
        flows = dict.fromkeys(end.member.flow for end in some)
        if complete and not released.any:  # what comes after has ended before, or nothing does
            complete |= dict.fromkeys(self._without_open(flow for flow in flows if flow not in unsure))
        self._end_flows([flow for flow in flows if flow in complete])
        return ended + released.failed

    def settle(self, joins: Iterable[ObjectId]) -> list[Ended]:
        """Lets out, or cancels, the jobs that wait for these joins if it is time; returns the jobs that this ended."""
        asked = list(dict.fromkeys(joins))
        left = self.joins.incomplete(asked) if asked else set[ObjectId]()
        released = self._release([join for join in asked if join not in left])
        return self._break([join for join in asked if join in left]) + released.failed

    # -- letting out ---------------------------------------------------------------------------------------------------

    def _release(self, joins: Sequence[ObjectId], node: FlowNode = NO_NODE) -> _Released:
        """Lets out the jobs that wait for complete joins; the node may take the last ones."""
        released, any_left = _Released(False, []), bool(joins)
        while any_left:
            jobs = self.joins.dependents(joins, _AT_ONCE)
            any_left = len(jobs) == _AT_ONCE
            if jobs:
                released = _Released(True, released.failed + self.let_out(jobs, NO_NODE if any_left else node))
        return released

    def let_out(self, jobs: Sequence[Document], node: FlowNode = NO_NODE) -> list[Ended]:
        """Lets jobs out whose joins are complete. Returns those that fail instead, with their status."""
        taking = [job for job in jobs if "inputs" in job]
        data, failed = self._filled(taking) if taking else ({}, set[ObjectId]())
        jobs = _but(jobs, failed)
        due = self.joins.due_among(jobs)
        later = _but(jobs, {job["_id"] for job in due}) if len(due) < len(jobs) else []
        controlled = [job for job in due if is_controlled(job)]
        plain = _but(due, {job["_id"] for job in controlled})
        in_time = {job["_id"] for job in plain} if data else set[ObjectId]()
        self.joins.give_data({key: value for key, value in data.items() if key not in in_time})
        ready = [job for job in plain if "inputs" not in job] if taking else plain
        plain = [*(job for job in plain if "inputs" in job), *node.take(ready)] if taking else node.take(ready)
        if plain:
            self.joins.let_wait(plain, data)
        if later:
            self.joins.let_out_later(later)
        if controlled:
            self.joins.leave_to_controls(controlled)
            self._admission.admit_next({first_list(job) for job in controlled})
        self._wake(plain, bool(later))
        return [(job_id, Status.FAILED) for job_id in failed]

    def _wake(self, jobs: Sequence[Document], later: bool) -> None:
        if jobs or later:
            forced = any("async" in job or sound(job, "options", {}).get("force_spawn") is True for job in jobs)
            queues = {str(job.get("queue")) for job in jobs}
            self._wakeups.jobs_added([job["_id"] for job in jobs], queues, later, forced, urgent_among(jobs))

    def _filled(self, jobs: Sequence[Document]) -> tuple[dict[ObjectId, Any], set[ObjectId]]:
        """Returns the data of jobs with the results that they take, and the jobs that fail instead."""
        data, failed = dict[ObjectId, Any](), set[ObjectId]()
        for start in range(0, len(jobs), _WITH_DATA):
            part = self.joins.with_data(jobs[start : start + _WITH_DATA])
            inputs = {job["_id"]: read_inputs(job.get("inputs")) for job in part}
            results = self._results.of([one.job for listed in inputs.values() for one in listed or ()])
            for job in part:
                listed, skips = inputs[job["_id"]], job.get("on_failure") == SKIP
                value = None if listed is None else filled(job.get("data"), listed, results, skips)
                if (fault := self._fault_of(listed is None, value)) is not None:
                    self._invalid.fail(job["_id"], fault, {"blocked": job["blocked"], "parked_at": {"$exists": True}})
                    failed.add(job["_id"])
                else:
                    data[job["_id"]] = value
        return data, failed

    def _fault_of(self, is_odd: bool, value: Any) -> dict[str, Any] | None:
        if is_odd:
            return Fault("inputs", "must be a list of paths and jobs").error()
        most = self.flows.max_payload
        if (size := payload_size(value)) <= most:
            return None
        message = f"its data with the results that it takes are {size} bytes, more than max_payload ({most})"
        return {"type": "PayloadTooLargeError", "message": message}

    def _keep_results(self, ends: Sequence[FlowEnd], left: set[ObjectId]) -> None:
        """Keeps results that others wait for, as their jobs may be deleted before."""
        feeding = [end for end in ends if end.member.feeds and end.status is Status.DONE]
        waited = {end.job: end.member.flow for end in feeding if left.intersection(end.member.joins)}
        if waited:
            self._results.keep(waited)

    # -- cancelling ----------------------------------------------------------------------------------------------------

    def _break(self, joins: Sequence[ObjectId]) -> list[Ended]:
        """Cancels the jobs that wait for those of these joins that are never complete."""
        ended = list[Ended]()
        for broken in self.joins.broken(joins) if joins else ():
            while jobs := self.joins.dependents([broken.join], _AT_ONCE):
                cancelled = self.joins.cancel(jobs, _reason(broken))
                ended += [(job["_id"], Status.CANCELED) for job in cancelled]
                self._note_cancelled(cancelled)
        return ended

    def _note_cancelled(self, jobs: Sequence[Document]) -> None:
        canceled = int(Status.CANCELED)
        self._events.append(
            [{"job": job["_id"], "status": canceled, "attempt": sound(job, "attempt", 0)} for job in jobs]
        )
        if keys := {text for job in jobs if "sequence" in job for text in keys_of(job)}:
            self._admission.admit_next(keys)

    # -- the end of a flow ---------------------------------------------------------------------------------------------

    def _without_open(self, flow_ids: Iterable[ObjectId]) -> list[ObjectId]:
        """Returns those of these flows in which all jobs that nobody comes after have ended."""
        asked = list(flow_ids)
        left = self.joins.incomplete(asked) if asked else set[ObjectId]()
        return [flow_id for flow_id in asked if flow_id not in left]

    def end_flow(self, flow_id: ObjectId) -> None:
        """Ends a flow if none of its jobs is live."""
        self._end_flows(self._without_open([flow_id]))

    def _end_flows(self, flow_ids: Iterable[ObjectId]) -> None:
        for flow_id in flow_ids:
            if self.flows.end(flow_id) is not None:
                self._results.drop(flow_id)

    # -- what is done now and then -------------------------------------------------------------------------------------

    def sweep(self) -> list[Ended]:
        """Looks at some of the joins that jobs wait for, and at some flows; returns the jobs that this ended."""
        keys = self.joins.waiting_behind(self._swept, _PER_SWEEP)
        self._swept = keys[-1] if keys else ""
        running = self.flows.running(self._swept_flow, _FLOWS_PER_SWEEP)
        self._swept_flow = running[-1] if len(running) == _FLOWS_PER_SWEEP else None
        ended = self.settle([join for text in keys if (join := join_of(text)) is not None])
        self._end_flows(self._without_open(running))
        return ended

    def sweep_all(self) -> list[Ended]:
        """Looks at all joins that jobs wait for, and at all flows that run; returns the jobs that this ended."""
        self._swept, self._swept_flow, ended = "", None, self.sweep()
        while self._swept or self._swept_flow is not None:
            ended += self.sweep()
        return ended


def _but(jobs: Sequence[Document], ids: Collection[ObjectId]) -> Sequence[Document]:
    """Returns these jobs without some."""
    return [job for job in jobs if job["_id"] not in ids] if ids else jobs


def end_of(job: Mapping[str, Any], status: Status) -> FlowEnd | None:
    """Returns what has ended with a stored job; None if it belongs to no flow."""
    member = membership_of(job)
    return None if member is None else FlowEnd(job["_id"], status, member)


def _reason(broken: Broken) -> str:
    """Returns why a job is cancelled: for people, in the field `reason`."""
    member = broken.member
    name = sound(member, "class", "?") if not isinstance(member.get("label"), str) else member["label"]
    how = _ENDED_AS.get(Status(member["status"]), "has not succeeded")
    return f"it comes after {name} ({member['_id']}), which {how}"
