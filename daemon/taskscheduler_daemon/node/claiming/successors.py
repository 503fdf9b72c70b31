"""Successors: jobs of flows whose predecessors have ended here, on their way to the claimer of this node.

A job that comes after others is parked until the last of them has ended. The node on which that one ended knows first,
and has a slot free. It claims what comes next right where that is parked. So nobody has to release these jobs, announce
them, and search for them. The node releases what it does not claim, and any node may claim that.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from taskscheduler.model.document import Document
from taskscheduler.model.flows.membership import join_of
from taskscheduler.model.readable import fault_of_waiting
from taskscheduler.model.sound import sound
from taskscheduler.operations.flows.sweep import settle_joins
from taskscheduler.store import Store
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.state.in_flight import InFlight


class Successors:
    """Takes jobs from the thread that writes ends, and keeps them for the claimer. Safe to use from many threads."""

    def __init__(self, store: Store, search: Search, in_flight: InFlight) -> None:
        self._store = store
        self._search = search
        self._in_flight = in_flight
        self._lock = threading.Lock()
        self._jobs: list[Document] = []
        self._closed = False

    def still_runs(self, joins: Collection[ObjectId]) -> set[ObjectId]:
        """Returns those of these joins of which a job runs here."""
        left, found = set(joins), set[ObjectId]()
        for attempt in self._in_flight.all():
            if not left:
                break
            member = attempt.member
            if member is not None and not left.isdisjoint(member.joins):
                found.update(left.intersection(member.joins))
                left.difference_update(member.joins)
        return found

    def take(self, jobs: Sequence[Document]) -> list[Document]:
        """Takes jobs that this node may claim unless others wait before them; returns the rest."""
        mine = [] if self._search.has_backlog else [job for job in jobs if may_take(job)]
        with self._lock:
            if self._closed or not mine:
                return list(jobs)
            self._jobs += mine
        self._search.wake.set()
        taken = {job["_id"] for job in mine}
        return [job for job in jobs if job["_id"] not in taken]

    def pop(self) -> list[Document]:
        """Removes and returns what was taken, in the order in which it should begin."""
        with self._lock:
            jobs, self._jobs = self._jobs, []
        return sorted(jobs, key=lambda job: (-job["priority"], job["parked_at"], job["_id"]))

    @property
    def are_left(self) -> bool:
        """Whether there are some that the claimer has to see to."""
        return bool(self._jobs)

    def give_back(self, jobs: Sequence[Document]) -> None:
        """Takes jobs back whose claim is uncertain."""
        with self._lock:
            self._jobs += jobs

    def release(self, jobs: Sequence[Document]) -> None:
        """Has jobs wait for a slot on any node. Raises StoreError."""
        if jobs:
            self._store.flow_effects.let_out(jobs)

    def settle(self, jobs: Sequence[Document]) -> None:
        """Releases those of these jobs that a claim did not get, if they still wait. Raises StoreError."""
        settle_joins(self._store, joins_of(jobs))

    def close(self) -> list[Document]:
        """Takes no more jobs, and returns those that are left."""
        with self._lock:
            self._closed = True
        return self.pop()


def lists_of(jobs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns the lists in which these jobs wait for joins."""
    return list(dict.fromkeys(name for job in jobs if type(name := job["blocked"]) is str))


def joins_of(jobs: Iterable[Mapping[str, Any]]) -> list[ObjectId]:
    """Returns the joins that these jobs wait for."""
    return [join for name in lists_of(jobs) if (join := join_of(name)) is not None]


def may_take(job: Mapping[str, Any]) -> bool:
    """Whether a job that has no controls and is due may be claimed like one that was found in the queue.

    One of the option `force_spawn` needs no slot, so it is searched for.
    """
    is_forced = bool(sound(job, "options", {}).get("force_spawn"))
    due = job.get("parked_at")
    return not is_forced and type(due) is datetime and fault_of_waiting({**job, "at": due}) is None
