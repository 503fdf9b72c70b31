"""Takes away what nodes do about leases, claims, attempts and losses."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import UpdateMany

from taskscheduler.model import schedules
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.schedules import successor, successor_id
from taskscheduler.operations import finish
from taskscheduler.store import claimed_job, completions
from taskscheduler.store.attempts import bad_ends, ending
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.ending import results_update
from taskscheduler.store.attempts.quick_end import QuickEnd
from taskscheduler.store.claims import ClaimStore
from taskscheduler.store.fence import Fence
from taskscheduler.store.nodes import Beat, NodeStore
from taskscheduler.store.postponed_jobs import LateJobs
from taskscheduler_daemon.ipc.begun_page import BegunPage
from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.manager import crash_errors
from taskscheduler_daemon.manager.pool.worker_state import KillReason
from taskscheduler_daemon.node.claiming import pipeline
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.completion.aftermath import Aftermath
from taskscheduler_daemon.node.dispatch import dispatcher
from taskscheduler_daemon.node.dispatch.quarantine import Quarantine
from taskscheduler_daemon.node.maintenance.failure_detector import FailureDetector
from taskscheduler_daemon.node.maintenance.reconciler import Reconciler
from taskscheduler_daemon.node.session import Session
from taskscheduler_daemon.node.state.capacity import AsyncCapacity
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.node.state.unknown_jobs import UnknownJobs
from taskscheduler_daemon.system.exits import ChildExit
from tests.faults.sabotage.patching import WrongClock, replace_in


def no_fence() -> None:
    """Ends are written whoever holds the job."""

    def anybody(self: Fence) -> dict[str, Any]:
        return {"_id": self.job_id}

    def batch_done_update(first: Completion, ids: Sequence[ObjectId]) -> UpdateMany:
        change = {"$set": {"status": 3, "progress": 100.0, "worker": first.worker}, "$currentDate": {"ended": True}}
        return UpdateMany({"_id": {"$in": list(ids)}}, change)

    def unfenced(ends: Sequence[Completion]) -> UpdateMany:
        return UpdateMany({"_id": {"$in": [one.fence.job_id for one in ends]}}, results_update(ends)._doc)

    replace_in(Fence, "filter", anybody)
    replace_in(completions, "batch_done_update", batch_done_update)
    replace_in(completions, "results_update", unfenced)


def no_mark() -> None:
    """A node that was declared lost renews its lease as if nothing had happened."""

    def beat(self: NodeStore, boot: ObjectId, facts: Mapping[str, Any]) -> Beat:
        self._collection.update_one({"_id": boot}, {"$inc": {"beat": 1}, "$currentDate": {"alive": True}})
        return Beat(datetime.now(UTC), False)

    replace_in(NodeStore, "beat", beat)


def no_deadline() -> None:
    """The manager is never told until when it may run jobs."""
    replace_in(Session, "lease_renewed", lambda self, lapsed: None)
    replace_in(Lease, "renewed", lambda self, sent: None)


def no_own_check() -> None:
    """A node does not look whether its running jobs are still its own."""
    replace_in(Reconciler, "run", lambda self: None)


def no_outbox() -> None:
    """The next run of a series is added after the end of the last one was written, not planned with it."""
    ended, follow = ending.final_update, Aftermath.follow

    def unplanned(one: Completion) -> Any:
        owes = tuple(debt for debt in one.effects if debt != "next")
        return ended(replace(one, verdict=replace(one.verdict, plans_next=False), effects=owes))

    def followed(self: Aftermath, landed: Sequence[Completion], quick: Sequence[QuickEnd] = ()) -> None:
        follow(self, landed, quick)
        for one in landed:
            if one.verdict.plans_next and one.series is not None:
                _add_next(self, one, one.series)

    for module in (ending, bad_ends):
        replace_in(module, "final_update", unplanned)
    replace_in(Aftermath, "follow", followed)


def _add_next(writer: Aftermath, one: Completion, series: tuple[ObjectId, int]) -> None:
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

    replace_in(FailureDetector, "lost", lost)


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

    replace_in(ClaimStore, "claim", asking)
    replace_in(ClaimStore, "claimed", got)


def no_rescan() -> None:
    """Jobs are only looked for when a message tells of them."""
    replace_in(Claimer, "look_everywhere", lambda self: None)


def no_hurry() -> None:
    """Nobody looks at the time by which a job has to start."""
    replace_in(LateJobs, "seconds_until_next", lambda self: None)
    replace_in(pipeline, "release_late", lambda store, fence, job: False)
    replace_in(Run, "is_late", lambda self, now: False)


def no_restart() -> None:
    """A service that has ended is left as it is."""
    replace_in(finish, "restart_of", lambda job, ran: None)


def no_suspicion() -> None:
    """Everything that had begun in what died is charged."""

    def charged(begun: bool, _together: int, requested: bool = False) -> Ending:
        return Ending.LOST if begun and not requested else Ending.RETURNED

    for user in (crash_errors, dispatcher, finish):
        replace_in(user, "ending_of_lost", charged)


def no_note_of_what_began() -> None:
    """Everything that was held by what died counts as begun."""
    replace_in(BegunPage, "read", lambda self, first=0, length=None: None)


def no_quarantine() -> None:
    """Suspects run beside others."""
    replace_in(Quarantine, "keep", lambda self, attempts: attempts)
    replace_in(AsyncCapacity, "takes", lambda self, attempt: "async" in attempt.job)


def no_requests() -> None:
    """Whoever asks a process to end has killed it."""
    replace_in(ChildExit, "was_requested", False)
    replace_in(crash_errors.WorkerDeath, "was_requested", False)


def no_reason_to_kill() -> None:
    """A job that was killed since the lease was over has lost its worker."""
    crash_errors.REASONS.pop(KillReason.LEASE_ENDED)


def no_patience_with_the_unknown() -> None:
    """A job that a node does not know fails there."""
    replace_in(UnknownJobs, "left_to_others", lambda self, job_id, name, now: False)


def no_derived_ids() -> None:
    """The run of a schedule gets any id."""
    replace_in(schedules, "scheduled_run_id", lambda schedule, time: ObjectId())
