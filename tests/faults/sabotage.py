"""Takes single mechanisms out of the product, in the node process that asks for it, to show that they are needed.

Some entries only set a trap: they bring about the moment that a mechanism is for, and take nothing away.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import UpdateMany

from taskscheduler.clock import SYSTEM_CLOCK, Clock, SystemClock
from taskscheduler.model import schedules
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.schedules import successor, successor_id
from taskscheduler.operations import finish
from taskscheduler.store import attempt_updates, claimed_job, completions
from taskscheduler.store.attempt_updates import Completion
from taskscheduler.store.claims import ClaimStore
from taskscheduler.store.control import admission
from taskscheduler.store.control.admission import Admission
from taskscheduler.store.control.sequences import SequenceStore
from taskscheduler.store.fence import Fence
from taskscheduler.store.nodes import NodeStore
from taskscheduler.store.postponed_jobs import LateJobs
from taskscheduler.store.programs import ProgramStore
from taskscheduler.store.schedules import ScheduleStore
from taskscheduler_daemon.ipc.begun_page import BegunPage
from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.manager import crash_errors
from taskscheduler_daemon.manager.pool.worker_state import KillReason
from taskscheduler_daemon.node.claiming import pipeline
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.completion.completer import Completer
from taskscheduler_daemon.node.dispatch import dispatcher
from taskscheduler_daemon.node.dispatch.quarantine import Quarantine
from taskscheduler_daemon.node.maintenance.failure_detector import FailureDetector
from taskscheduler_daemon.node.maintenance.reconciler import Reconciler
from taskscheduler_daemon.node.session import Session
from taskscheduler_daemon.node.state.capacity import AsyncCapacity
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.node.state.unknown_jobs import UnknownJobs
from taskscheduler_daemon.system.exits import ChildExit
from tests.support.eventually import eventually

SKEW = timedelta(hours=1)


class WrongClock(SystemClock):
    """The clock of a host that is an hour ahead."""

    def now(self) -> datetime:
        return super().now() + SKEW


def _replace(owner: Any, name: str, value: Any) -> None:
    assert hasattr(owner, name), f"{owner} has no {name} to take away"
    setattr(owner, name, value)


# -- mechanisms that are taken away -----------------------------------------------------------------------------------


def no_fence() -> None:
    """Ends are written whoever holds the job."""

    def anybody(self: Fence) -> dict[str, Any]:
        return {"_id": self.job_id}

    def batch_done_update(first: Completion, ids: Sequence[ObjectId]) -> UpdateMany:
        change = {"$set": {"status": 3, "progress": 100.0, "worker": first.worker}, "$currentDate": {"ended": True}}
        return UpdateMany({"_id": {"$in": list(ids)}}, change)

    _replace(Fence, "filter", anybody)
    _replace(completions, "batch_done_update", batch_done_update)


def no_mark() -> None:
    """A node that was declared lost renews its lease as if nothing had happened."""

    def beat(self: NodeStore, boot: ObjectId, facts: Mapping[str, Any]) -> datetime:
        self._collection.update_one({"_id": boot}, {"$inc": {"beat": 1}, "$currentDate": {"alive": True}})
        return datetime.now(UTC)

    _replace(NodeStore, "beat", beat)


def no_deadline() -> None:
    """The manager is never told until when it may run jobs."""
    _replace(Session, "lease_renewed", lambda self, lapsed: None)
    _replace(Lease, "renewed", lambda self, sent: None)


def no_own_check() -> None:
    """A node does not look whether its running jobs are still its own."""
    _replace(Reconciler, "run", lambda self: None)


def no_outbox() -> None:
    """The next run of a series is added after the end of the last one was written, not planned with it."""
    ended, follow = attempt_updates.final_update, Completer._follow

    def unplanned(one: Completion) -> Any:
        owes = tuple(debt for debt in one.effects if debt != "next")
        return ended(replace(one, verdict=replace(one.verdict, plans_next=False), effects=owes))

    def followed(self: Completer, landed: list[Completion]) -> None:
        follow(self, landed)
        for one in landed:
            if one.verdict.plans_next and one.series is not None:
                _add_next(self, one, one.series)

    _replace(attempt_updates, "final_update", unplanned)
    _replace(Completer, "_follow", followed)


def _add_next(writer: Completer, one: Completion, series: tuple[ObjectId, int]) -> None:
    job = writer._store.jobs.get(one.fence.job_id)
    if job is not None:
        next_id = successor_id(series[0], series[1] + 1, ObjectId())
        plan = {"_id": next_id, "at": job["ended"] + timedelta(seconds=one.interval), "created": job["ended"]}
        writer._store.jobs.collection.insert_one(successor({**job, "next": plan}))


def no_second_look() -> None:
    """One look at the time of the last heartbeat decides, by the clock of this host."""

    def lost(
        self: FailureDetector, nodes: Iterable[Mapping[str, Any]], _owners: set[ObjectId], _now: float
    ) -> list[ObjectId]:
        now = WrongClock().now()
        others = [node for node in nodes if node["pid"] != os.getpid()]
        return [node["_id"] for node in others if now - node["alive"] > timedelta(seconds=node["lease"])]

    _replace(FailureDetector, "lost", lost)


def no_read_back() -> None:
    """Whatever was asked for is taken for claimed."""
    claim = ClaimStore.claim
    asked: dict[str, list[ObjectId]] = {}

    def asking(self: ClaimStore, ids: Sequence[ObjectId], name: str, *more: Any) -> int:
        asked[name] = list(ids)
        return claim(self, ids, name, *more)

    def got(self: ClaimStore, name: str, boot: ObjectId) -> list[Any]:
        found = self._raw.find({"_id": {"$in": asked.pop(name)}}, claimed_job.READ_BACK)
        return [claimed_job.decode(bytes(job.raw)) for job in found]

    _replace(ClaimStore, "claim", asking)
    _replace(ClaimStore, "claimed", got)


def no_rescan() -> None:
    """Jobs are only looked for when a message tells of them."""
    _replace(Claimer, "look_everywhere", lambda self: None)


def no_hurry() -> None:
    """Nobody looks at the time by which a job has to start."""
    _replace(LateJobs, "seconds_until_next", lambda self: None)
    _replace(pipeline, "release_late", lambda store, fence, job: False)
    _replace(Run, "is_late", lambda self, now: False)


def no_turn() -> None:
    """Each job that is let in gets places that nobody else can have."""
    _replace(admission, "gate_of", lambda keys, places: [f"{place} {ObjectId()}" for place in places])


def no_place_of_what_waits_again() -> None:
    """A job that is handed back gives its places away, and begins again without them."""
    _rearmed_with({"$unset": ["gate"]})


def no_turn_over_retries() -> None:
    """A job that is to be tried again comes last in its sequence."""
    now = {"$multiply": [{"$toLong": "$$NOW"}, 1000]}
    _rearmed_with({"$set": {"turn": {"$cond": [{"$gt": ["$turn", 0]}, now, "$$REMOVE"]}}})


def _rearmed_with(stage: dict[str, Any]) -> None:
    rearm = attempt_updates.rearm_update
    _replace(attempt_updates, "rearm_update", lambda one: [*rearm(one), stage])


def no_freed_place() -> None:
    """A job keeps its places when it has ended."""
    for name in ("done_update", "final_update"):
        end = getattr(attempt_updates, name)
        _replace(attempt_updates, name, lambda one, end=end: end(replace(one, keys=())))


def no_order() -> None:
    """The turn of a sequence goes to the job that was added last."""

    def last(self: SequenceStore, name: str) -> Any:
        return self._jobs.find_one({"sequence": name, "turn": {"$exists": True}}, sort=[("turn", -1)])

    _replace(SequenceStore, "head", last)


def no_failure_that_blocks() -> None:
    """A failed job leaves its sequence whatever its options say."""
    end = attempt_updates.final_update
    _replace(attempt_updates, "final_update", lambda one: end(replace(one, keeps_turn=False)))


def no_turn_of_programs() -> None:
    """A program begins whoever has the turn of its key."""
    begin = ProgramStore.begin

    def begun(self: ProgramStore, document: dict[str, Any]) -> Any:
        return begin(self, {**document, "gate": f"{document['gate']} {ObjectId()}"})

    _replace(ProgramStore, "begin", begun)


def no_end_of_the_silent() -> None:
    """Nobody ends the record of a program that says nothing any more."""
    _replace(ProgramStore, "end_silent", lambda self, query: [])


def no_restart() -> None:
    """A service that has ended is left as it is."""
    _replace(finish, "restart_of", lambda job, ran: None)


def no_suspicion() -> None:
    """Everything that had begun in what died is charged."""

    def charged(begun: bool, _together: int, requested: bool = False) -> Ending:
        return Ending.LOST if begun and not requested else Ending.RETURNED

    for user in (crash_errors, dispatcher, finish):
        _replace(user, "ending_of_lost", charged)


def no_note_of_what_began() -> None:
    """Everything that was held by what died counts as begun."""
    _replace(BegunPage, "read", lambda self, first=0, length=None: None)


def no_quarantine() -> None:
    """Suspects run beside others."""
    _replace(Quarantine, "keep", lambda self, attempts: attempts)
    _replace(AsyncCapacity, "takes", lambda self, attempt: "async" in attempt.job)


def no_requests() -> None:
    """Whoever asks a process to end has killed it."""
    _replace(ChildExit, "was_requested", False)
    _replace(crash_errors.WorkerDeath, "was_requested", False)


def no_reason_to_kill() -> None:
    """A job that was killed since the lease was over has lost its worker."""
    crash_errors.REASONS.pop(KillReason.LEASE_ENDED)


def no_patience_with_the_unknown() -> None:
    """A job that a node does not know fails there."""
    _replace(UnknownJobs, "left_to_others", lambda self, job_id, name, now: False)


def no_derived_ids() -> None:
    """The run of a schedule gets any id."""
    _replace(schedules, "scheduled_run_id", lambda schedule, time: ObjectId())


# -- traps ------------------------------------------------------------------------------------------------------------


def die_before_the_next_run() -> None:
    """The node is killed right after it has written the end of a run of a series."""
    follow = Completer._follow

    def followed(self: Completer, landed: list[Completion]) -> None:
        if any(one.verdict.plans_next for one in landed):
            os.kill(os.getpid(), signal.SIGKILL)
        follow(self, landed)

    _replace(Completer, "_follow", followed)


def die_before_a_schedule_is_settled() -> None:
    """The node is killed right after it has added the runs of a schedule."""

    def settle(self: ScheduleStore, done: Sequence[Any]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    _replace(ScheduleStore, "settle", settle)


def admit_late() -> None:
    """The first time that a node gives a free place away, it has been given to somebody else since the node looked."""
    write, first = Admission._write, itertools.count()

    def late(self: Admission, *args: Any) -> bool:
        if args[0] and next(first) == 0:
            eventually(lambda: self._collection.find_one({"gate": {"$exists": True}}), 10, "a place is taken")
        return write(self, *args)

    _replace(Admission, "_write", late)


def collide() -> None:
    """Nodes ask for the same jobs at the same time."""
    claim = ClaimStore.claim

    def slow(self: ClaimStore, *given: Any) -> int:
        threading.Event().wait(0.3)
        return claim(self, *given)

    def all_of_them(
        self: Partition, jobs: Sequence[Mapping[str, Any]], wanted: int, at_head: bool, now: float
    ) -> list[ObjectId]:
        return [job["_id"] for job in jobs[:wanted]]

    _replace(ClaimStore, "claim", slow)
    _replace(Partition, "ours", all_of_them)


PATCHES: dict[str, Callable[[], None]] = {
    "fence": no_fence,
    "mark": no_mark,
    "deadline": no_deadline,
    "own check": no_own_check,
    "outbox": no_outbox,
    "second look": no_second_look,
    "read-back": no_read_back,
    "rescan": no_rescan,
    "suspicion": no_suspicion,
    "note of what began": no_note_of_what_began,
    "quarantine": no_quarantine,
    "requests": no_requests,
    "reason to kill": no_reason_to_kill,
    "patience with the unknown": no_patience_with_the_unknown,
    "hurry": no_hurry,
    "turn": no_turn,
    "place of what waits again": no_place_of_what_waits_again,
    "freed place": no_freed_place,
    "order": no_order,
    "turn over retries": no_turn_over_retries,
    "failure that blocks": no_failure_that_blocks,
    "turn of programs": no_turn_of_programs,
    "end of the silent": no_end_of_the_silent,
    "restart": no_restart,
    "derived ids": no_derived_ids,
    "trap: die before the next run": die_before_the_next_run,
    "trap: die before a schedule is settled": die_before_a_schedule_is_settled,
    "trap: admit late": admit_late,
    "trap: collide": collide,
}
WRONG_CLOCK = "trap: wrong clock"


def apply(names: Sequence[str]) -> Clock:
    """Patch this process; the clock that the node is to use."""
    for name in names:
        if name != WRONG_CLOCK:
            PATCHES[name]()
    return WrongClock() if WRONG_CLOCK in names else SYSTEM_CLOCK
