"""Traps: each brings about the moment that a mechanism is for, and takes nothing away."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.quick_end import QuickEnd
from taskscheduler.store.claims import ClaimStore
from taskscheduler.store.control.admission import Admission
from taskscheduler.store.schedules import ScheduleStore
from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.completion.aftermath import Aftermath
from tests.faults.sabotage.patching import replace_in
from tests.support.eventually import eventually


def die_before_the_next_run() -> None:
    """The node is killed right after it has written the end of a run of a series."""
    follow = Aftermath.follow

    def followed(self: Aftermath, landed: Sequence[Completion], quick: Sequence[QuickEnd] = ()) -> None:
        if any(one.verdict.plans_next for one in landed):
            os.kill(os.getpid(), signal.SIGKILL)
        follow(self, landed, quick)

    replace_in(Aftermath, "follow", followed)


def die_before_a_schedule_is_settled() -> None:
    """The node is killed right after it has added the runs of a schedule."""

    def settle(self: ScheduleStore, done: Sequence[Any]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    replace_in(ScheduleStore, "settle", settle)


def admit_late() -> None:
    """The first time that a node gives a free place away, it has been given to somebody else since the node looked."""
    write, first = Admission._write, itertools.count()

    def late(self: Admission, *args: Any) -> bool:
        if args[0] and next(first) == 0:
            eventually(lambda: self._collection.find_one({"gate": {"$exists": True}}), 10, "a place is taken")
        return write(self, *args)

    replace_in(Admission, "_write", late)


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

    replace_in(ClaimStore, "claim", slow)
    replace_in(Partition, "ours", all_of_them)
