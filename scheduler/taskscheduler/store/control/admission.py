"""Admission: lets parked jobs wait for a slot as soon as their controls have room. Every write is safe to repeat.

Whoever ends a job admits the next ones of its lists. If that process dies in between, the next sweep of a node does:
see `sweeps.py`.
A job that was examined in one list and refused by another control moves to the list of that; then that list is looked
at once more, since a place may have become free before the job was in it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from taskscheduler.clock import Clock
from taskscheduler.model.control.keys import (
    CONTROL_FIELDS,
    FLOW,
    LISTED_FIELDS,
    NODE,
    RATE,
    SEQUENCE,
    first_list,
    gate_of,
    is_controlled,
    is_parked,
    keys_of,
    kind_and_name,
    read_group_list,
)
from taskscheduler.model.control.urgency import urgent_among
from taskscheduler.model.document import Document
from taskscheduler.model.lenient import as_stored
from taskscheduler.model.lifecycle import Transition
from taskscheduler.model.readable import Fault
from taskscheduler.model.sound import is_text, sound
from taskscheduler.store.control.places import PlaceStore
from taskscheduler.store.control.rate_lists import RateLists
from taskscheduler.store.control.room import ROOM_FIELDS, Rooms, RoomStore
from taskscheduler.store.control_updates import admit_update, defer_update, park_update
from taskscheduler.store.fence import BY_ID, Fence, from_statuses
from taskscheduler.store.jobs import InvalidJobs
from taskscheduler.store.lenient_reads import read
from taskscheduler.store.schema import PARKED_ORDER
from taskscheduler.store.wakeups import WakeupQueue

logger = logging.getLogger(__name__)

_MOST_EXAMINED = 200  #: jobs of one list at a time

_PATIENCE = 1.0  #: seconds; what is not admitted by then is left to the sweeps of nodes

_LEFT_TO_OTHERS = 0.5  #: seconds for which a list is left to whoever admits its jobs at the same time

_DUPLICATE_KEY = 11000

_FIELDS = {**dict.fromkeys((*ROOM_FIELDS, "priority", "async", "blocked"), 1), "options.force_spawn": 1}

_PARKED: Document = {"parked_at": {"$exists": True}, "status": from_statuses(Transition.PROMOTE)}


class Refused(NamedTuple):
    """A claimed job that a control keeps from beginning."""

    fence: Fence
    job: Mapping[str, Any]
    key: str  #: of the control


class Admission:
    """The lists of parked jobs, and the way out of them."""

    def __init__(
        self,
        collection: Collection[Document],
        invalid: InvalidJobs,
        places: PlaceStore,
        rooms: RoomStore,
        wakeups: WakeupQueue,
        clock: Clock,
    ) -> None:
        self._collection = collection
        self._invalid = invalid
        self._places = places
        self._rooms = rooms
        self._wakeups = wakeups
        self._clock = clock
        self.rate_lists = RateLists(collection, clock)

    def park(self, ids: Sequence[ObjectId]) -> set[str]:
        """Parks the controlled jobs among these due jobs, so that they do not hide the others; returns their lists."""
        controlled = {"_id": {"$in": list(ids)}, "$or": [{name: {"$exists": True}} for name in CONTROL_FIELDS]}
        found = read(self._collection, lambda jobs: jobs.find(as_stored(controlled), LISTED_FIELDS))
        due = {**controlled, "status": from_statuses(Transition.PROMOTE), "$expr": {"$lte": ["$at", "$$NOW"]}}
        if found:
            self._collection.update_many(as_stored(due), park_update())
        return {first_list(job) for job in found}

    def ended(self, before: Mapping[str, Any]) -> None:
        """Admits who may have waited for a job that has ended, was deleted or was put off; `before` is how it was."""
        if is_controlled(before) and ("gate" in before or "sequence" in before):
            self.room_made(keys_of(before))

    def room_made(self, keys: Iterable[str]) -> None:
        """Admits who waits for room under these controls of jobs that have ended; under a rate the end makes none."""
        self.admit_next(filter(self._rooms.is_shared, keys))

    def admit_next(self, keys: Iterable[str]) -> float | None:
        """Admits parked jobs of these lists as far as there is room; nodes hear of those of groups, and take them.

        Returns the seconds until it is worth to look again: 0.0 if it got somewhere, or the time at which a rate allows
        the next start; None if that cannot be told.
        """
        todo, awaited = deque(self._but_groups(keys)), False
        if not todo:
            return None
        since, rooms = self.rate_lists.given_back, self._rooms.begin()
        until = self._clock.monotonic() + _PATIENCE
        try:
            while todo and self._clock.monotonic() < until:
                if (moved := self._admit_from(todo[0], rooms, since)) is None:
                    todo.popleft()
                else:
                    rates = {key for key in moved if kind_and_name(key)[0] == RATE}
                    todo += [key for key in moved - rates if key not in todo]
                    todo.extendleft(key for key in rates if key not in todo)  # a start that nobody takes may be lost
                    awaited |= bool(rates)
            self.rate_lists.look_at(todo)
            return 0.0 if todo or rooms.admitted else rooms.wait
        finally:
            self._end(rooms)
            if awaited:
                self._wakeups.rates_awaited()

    def _but_groups(self, keys: Iterable[str]) -> list[str]:
        lists = {key: read_group_list(key) for key in keys if is_text(key)}
        if queues := {one.queue for one in lists.values() if one is not None}:
            self._wakeups.groups_wait(queues)
        return [key for key, one in lists.items() if one is None and kind_and_name(key)[0] != FLOW]

    def enter(self, jobs: Sequence[Document]) -> set[Any]:
        """Has jobs whose group has its turn pass their other controls; returns the ids of those that may be claimed.

        The others move to the list of the control that refuses them.
        """
        if not jobs:
            return set()
        rooms, moved, free = self._rooms.begin(), set[str](), set[Any]()
        try:
            writes, admitted = list[UpdateOne](), list[Document]()
            for job in jobs:
                refusal, write = _examined(job, job["blocked"], rooms)
                if refusal is None or _is_left_to_worker(job, refusal):
                    free.add(job["_id"])
                else:
                    moved.add(refusal)
                if refusal is None or refusal in moved:
                    writes += write
                if refusal is None and write:
                    admitted.append(job)
            self._write(writes, jobs, admitted, rooms)
        finally:
            self._end(rooms)
        if moved:
            self.admit_next(moved)
        return free

    def _end(self, rooms: Rooms) -> None:
        """Ends a pass. Who has found no start free while this one held some would look again much later."""
        self.rate_lists.look_within(_LEFT_TO_OTHERS, rooms.end())

    def _admit_from(self, key: str, rooms: Rooms, since: int) -> set[str] | None:
        """Admits some jobs of one list; returns the lists that others of them moved to, or None at its end.

        `since` is how often starts had been given back here before `rooms` were begun.
        """
        jobs = self._heads(key, rooms)
        if not jobs:
            self.rate_lists.looked_at(key, rooms.next_start(key), since)
            return None
        writes, moved, admitted = list[UpdateOne](), set[str](), list[Document]()
        for job in jobs:
            refusal, write = _examined(job, key, rooms)
            writes += write
            if refusal is None:
                admitted.append(job)
            elif refusal != key:
                moved.add(refusal)
        changed = self._write(writes, jobs, admitted, rooms)
        rooms.admitted += len(admitted)
        self._announce(admitted)
        rooms.forget(moved)
        if not changed:  # somebody else admits them
            self.rate_lists.looked_at(key, self._clock.monotonic() + _LEFT_TO_OTHERS)
            return None
        return moved

    def _heads(self, key: str, rooms: Rooms) -> list[Document]:
        """Returns the next jobs of a list, as many as there may be room for."""
        room = rooms.of(key)
        if room <= 0:
            return []
        kind, name = kind_and_name(key)
        if kind == SEQUENCE:
            head = rooms.head(name)
            return [head] if head is not None and head.get("blocked") == key and is_parked(head) else []
        query, most = {"blocked": key, **_PARKED}, int(min(room, _MOST_EXAMINED))
        return read(
            self._collection,
            lambda jobs: jobs.find(as_stored(query), _FIELDS).sort(PARKED_ORDER).hint("blocked").limit(most),
        )

    def _write(
        self, writes: list[UpdateOne], jobs: Sequence[Document], admitted: Sequence[Document], rooms: Rooms
    ) -> bool:
        """Returns whether something has changed, so that it is worth to look again."""
        if not writes:
            return False
        try:
            modified = self._collection.bulk_write(writes, ordered=False).modified_count
            refused: list[bool] = []
        except BulkWriteError as error:
            if error.details.get("writeConcernErrors"):
                raise
            rooms.forget_all()  # others have taken the places that were read as free
            modified = int(error.details["nModified"])
            refused = [self._refused(entry, jobs) for entry in error.details.get("writeErrors", [])]
        rooms.unused(admitted[: len(writes) - modified])
        return modified > 0 or any(refused)

    def _refused(self, entry: Mapping[str, Any], jobs: Sequence[Document]) -> bool:
        """Fails a job that the database refuses to admit, so that it holds up no other one; not if a place is taken."""
        if entry.get("code") == _DUPLICATE_KEY:
            return True
        job_id = entry.get("op", {}).get("q", {}).get("_id")
        fault = Fault("document", f"cannot be made to wait for a slot: {str(entry.get('errmsg', ''))[:200]}")
        held = {"parked_at": {"$exists": True}}
        return any(self._invalid.fail(job["_id"], fault.error(), held) for job in jobs if job["_id"] == job_id)

    def _announce(self, jobs: Sequence[Document]) -> None:
        if not jobs:
            return
        forced = any("async" in job or sound(job, "options", {}).get("force_spawn") is True for job in jobs)
        queues = {str(job.get("queue")) for job in jobs}
        self._wakeups.jobs_added([job["_id"] for job in jobs], queues, forced=forced, urgent=urgent_among(jobs))

    def defer(self, refused: Sequence[Refused]) -> None:
        """Parks claimed jobs that have not begun, each in a list; these attempts are not counted."""
        writes = [UpdateOne(one.fence.filter(), defer_update(one.key), hint=BY_ID) for one in refused]
        self._collection.bulk_write(writes, ordered=False)
        self.rate_lists.look_at(one.key for one in refused)
        self.admit_next({key for one in refused for key in keys_of(one.job)})

    def release(self, fence: Fence) -> None:
        """Frees the places of a cancelled attempt whose process is gone, and admits the next jobs."""
        job = self._places.release(fence)
        if job is not None:
            self.admit_next(keys_of(job))

    def release_unstarted(self, claim: str, boot: ObjectId) -> None:
        """Frees the places of jobs that were cancelled before their claim was read back."""
        for fence in self._places.unstarted(claim, boot):
            self.release(fence)


def _examined(job: Mapping[str, Any], key: str, rooms: Rooms) -> tuple[str | None, list[UpdateOne]]:
    """Returns the control that refuses a job of the list `key`, or None; and what to write, if there is something."""
    refusal, places = rooms.enter(job)
    if refusal == key or (refusal is None and not places):
        return refusal, []
    here = as_stored({"_id": job["_id"], "blocked": key, **_PARKED})
    change: Any = {"$set": {"blocked": refusal}}
    if refusal is None:
        change = admit_update(gate_of(keys_of(job), places))
    return refusal, [UpdateOne(here, change, hint=BY_ID)]


def _is_left_to_worker(job: Mapping[str, Any], refusal: str) -> bool:
    """Whether a worker is asked if it knows a job: it needs no place, so it is claimed as one without a group is."""
    return kind_and_name(refusal)[0] == NODE and not keys_of(job)
