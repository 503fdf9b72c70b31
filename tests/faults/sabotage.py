"""Takes single mechanisms out of the product, in the node process that asks for it, to show that they are needed.

Some entries only set a trap: they bring about the moment that a mechanism is for, and take nothing away.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import UpdateMany

from taskscheduler.clock import SYSTEM_CLOCK, Clock, SystemClock
from taskscheduler.model.schedules import successor, successor_id
from taskscheduler.operations import finish
from taskscheduler.store import attempt_updates, claimed_job, completions, solo_locks
from taskscheduler.store.attempt_updates import Completion
from taskscheduler.store.claims import ClaimStore
from taskscheduler.store.fence import Fence
from taskscheduler.store.nodes import NodeStore
from taskscheduler.store.programs import ProgramStore
from taskscheduler.store.solo_updates import acquire_update
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.completion.completer import Completer
from taskscheduler_daemon.node.maintenance.failure_detector import FailureDetector
from taskscheduler_daemon.node.maintenance.reconciler import Reconciler
from taskscheduler_daemon.node.session import Session
from taskscheduler_daemon.node.state.lease import Lease

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

    def batch_done_update(_claim: str, worker: str | None, ids: Sequence[ObjectId]) -> UpdateMany:
        change = {"$set": {"status": 3, "progress": 100.0, "worker": worker}, "$currentDate": {"ended": True}}
        return UpdateMany({"_id": {"$in": list(ids)}}, change)

    _replace(Fence, "filter", anybody)
    _replace(completions, "batch_done_update", batch_done_update)


def no_mark() -> None:
    """A node that was declared lost renews its lease as if nothing had happened."""

    def beat(self: NodeStore, boot: ObjectId, facts: Mapping[str, Any]) -> bool:
        self._collection.update_one({"_id": boot}, {"$inc": {"beat": 1}, "$currentDate": {"alive": True}})
        return True

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

    def asking(self: ClaimStore, ids: Sequence[ObjectId], name: str, boot: ObjectId, node: str) -> int:
        asked[name] = list(ids)
        return claim(self, ids, name, boot, node)

    def got(self: ClaimStore, name: str, boot: ObjectId) -> list[Any]:
        found = self._raw.find({"_id": {"$in": asked.pop(name)}}, claimed_job.READ_BACK)
        return [claimed_job.decode(bytes(job.raw)) for job in found]

    _replace(ClaimStore, "claim", asking)
    _replace(ClaimStore, "claimed", got)


def no_rescan() -> None:
    """Jobs are only looked for when a message tells of them."""
    _replace(Claimer, "look_everywhere", lambda self: None)


def no_turn() -> None:
    """A job whose time has come is let in whoever has the turn of its key."""
    _replace(solo_locks, "acquire_update", lambda key: acquire_update(f"{key} {ObjectId()}"))


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


# -- traps ------------------------------------------------------------------------------------------------------------


def die_before_the_next_run() -> None:
    """The node is killed right after it has written the end of a run of a series."""
    follow = Completer._follow

    def followed(self: Completer, landed: list[Completion]) -> None:
        if any(one.verdict.plans_next for one in landed):
            os.kill(os.getpid(), signal.SIGKILL)
        follow(self, landed)

    _replace(Completer, "_follow", followed)


def collide() -> None:
    """Nodes ask for the same jobs at the same time."""
    claim = ClaimStore.claim

    def slow(self: ClaimStore, ids: Sequence[ObjectId], name: str, boot: ObjectId, node: str) -> int:
        threading.Event().wait(0.3)
        return claim(self, ids, name, boot, node)

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
    "turn": no_turn,
    "turn of programs": no_turn_of_programs,
    "end of the silent": no_end_of_the_silent,
    "restart": no_restart,
    "trap: die before the next run": die_before_the_next_run,
    "trap: collide": collide,
}
WRONG_CLOCK = "trap: wrong clock"


def apply(names: Sequence[str]) -> Clock:
    """Patch this process; the clock that the node is to use."""
    for name in names:
        if name != WRONG_CLOCK:
            PATCHES[name]()
    return WrongClock() if WRONG_CLOCK in names else SYSTEM_CLOCK
