"""Sweeps: admit parked jobs that were forgotten, and take back places that cannot be used. Each may be repeated."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.collection import Collection

from taskscheduler.model.control.keys import (
    FLOW,
    LIMIT,
    LISTED_FIELDS,
    first_list,
    group_lists,
    keys_of,
    kind_and_name,
    read_group_list,
)
from taskscheduler.model.document import Document
from taskscheduler.model.lenient import as_stored, smallest_name
from taskscheduler.model.lifecycle import Transition
from taskscheduler.model.readable import fault_of_decoding
from taskscheduler.store.control.admission import Admission
from taskscheduler.store.control.places import holders_under
from taskscheduler.store.control.room import ROOM_FIELDS, Rooms, RoomStore
from taskscheduler.store.control_updates import own_list, recall_update
from taskscheduler.store.fence import from_statuses
from taskscheduler.store.jobs import InvalidJobs
from taskscheduler.store.lenient_reads import NO_TEXT, read, read_some

_KEYS_PER_SWEEP = 200

_ADOPT_EVERY = 8  #: sweeps; only programs of an old version, in a cluster that is being upgraded, leave such jobs

_MOST_RECALLED = 1000  #: jobs that are looked at in one sweep

_SHOWN = dict.fromkeys((*ROOM_FIELDS, "gate"), 1)


class AdmissionSweeps:
    """What nodes do about parked jobs again and again, and whoever changes a limit does once."""

    def __init__(
        self, collection: Collection[Document], invalid: InvalidJobs, rooms: RoomStore, admission: Admission
    ) -> None:
        self._collection = collection
        self._invalid = invalid
        self._rooms = rooms
        self._admission = admission
        self._numbers = itertools.count()
        self._swept = ""  #: the last list that a sweep has looked at
        self._recalled = ""  #: the last place of which a sweep has looked at the holder

    def recall(self, limit: str) -> None:
        """Has the jobs of a limit that only wait for a slot give back their places, and ask for them again."""
        query = as_stored({**holders_under(limit), "status": from_statuses(Transition.PARK)})
        jobs = read(self._collection, lambda jobs: jobs.find(query, LISTED_FIELDS).hint("gate"))
        if jobs:
            self._collection.update_many(query, recall_update())
            self._admission.admit_next({first_list(job) for job in jobs})

    def without_key(self) -> list[Document]:
        """Returns the keys of some parked jobs that are never admitted, since they are no texts."""
        queries = [{"blocked": condition, "parked_at": {"$exists": True}} for condition in NO_TEXT]
        return read_some(self._collection, queries, {**LISTED_FIELDS, "parked_at": 1}, "blocked")

    def sweep(self) -> float | None:
        """Admits jobs that were forgotten; of many lists only some per sweep. Returns what `admit_next` does."""
        if next(self._numbers) % _ADOPT_EVERY == 0:
            self._adopt()
        self._recall_stranded()
        return self._admission.admit_next(self._parked_keys())

    def _recall_stranded(self) -> None:
        """Has jobs give back places that they cannot use: their queue was paused, or the node for them has left."""
        waiting = {"status": from_statuses(Transition.PARK)}
        query = as_stored({**waiting, "gate": {"$gt": self._recalled}})
        found = read(self._collection, lambda jobs: jobs.find(query, _SHOWN).hint("gate").limit(_MOST_RECALLED))
        last = smallest_name(found[-1].get("gate"), self._recalled) if len(found) == _MOST_RECALLED else None
        self._recalled = last or ""  # at the end, the next sweep begins again
        rooms = self._rooms.begin() if found else None
        stranded = [(job, key) for job in found if rooms is not None and (key := rooms.kept_back(job)) is not None]
        for key in {key for _, key in stranded}:
            ids = [job["_id"] for job, kept in stranded if kept == key]
            held = as_stored({**waiting, "_id": {"$in": ids}, "gate": {"$exists": True}})
            self._collection.update_many(held, recall_update(key))
        self._admission.admit_next({key for job, _ in stranded for key in keys_of(job)})
        if rooms is not None:
            self._recall_surplus(found, rooms)

    def _recall_surplus(self, waiting: Sequence[Mapping[str, Any]], rooms: Rooms) -> None:
        """Has the waiting jobs of a limit ask for their places again if more of these are taken than it has.

        Whoever has lowered it does that, but may have died, or others let jobs in that did not know of it yet.
        """
        limits = {key for job in waiting for key in keys_of(job) if kind_and_name(key)[0] == LIMIT}
        for key in list(limits)[:_KEYS_PER_SWEEP]:
            if rooms.of(key) < 0:
                self.recall(kind_and_name(key)[1])

    def admit_rates(self) -> float | None:
        """Admits jobs from the known lists whose rates allow a start now. Returns the seconds until the next one does;
        None if no job is known to wait for a rate.
        """
        self._admission.admit_next(self._admission.rate_lists.due())
        return self._admission.rate_lists.wait()

    def admit_lists(self, prefix: str) -> None:
        """Admits from all lists whose keys go on behind this prefix."""
        key = self._next_key(prefix, prefix)
        while key is not None:
            self._admission.admit_next([key])
            key = self._next_key(key, prefix)

    def _adopt(self) -> None:
        """Puts jobs that a program of version 0.1.0 has parked into the lists of their keys."""
        query = {"blocked": None, "parked_at": {"$exists": True}, "solo": {"$type": "string"}}
        if read(self._collection, lambda jobs: jobs.find(as_stored(query), {"_id": 1}).hint("blocked").limit(1)):
            self._collection.update_many(as_stored(query), [{"$set": {"blocked": own_list()}}])

    def _parked_keys(self) -> list[str]:
        keys: list[str] = []
        while len(keys) < _KEYS_PER_SWEEP:
            self._swept = self._next_key(self._swept) or ""
            if read_group_list(self._swept) is not None:  # nodes look there
                self._swept = self._next_key(group_lists()["$lt"]) or ""
            if kind_and_name(self._swept)[0] == FLOW:  # the end of other jobs lets those out
                self._swept = self._next_key(f"{FLOW};") or ""
            if not self._swept or self._swept in keys:
                break
            keys.append(self._swept)
        return keys

    def _next_key(self, after: str, prefix: str = "") -> str | None:
        query = {"blocked": {"$gt": after}, "parked_at": {"$exists": True}}
        while found := read(
            self._collection, lambda jobs: jobs.find(query, {"blocked": 1}).sort("blocked", 1).hint("blocked").limit(1)
        ):
            name = smallest_name(found[0]["blocked"], after)
            if (fault := fault_of_decoding(found[0])) is None:
                return name if name and name.startswith(prefix) else None
            if not self._invalid.fail(found[0]["_id"], fault.error(), {"parked_at": {"$exists": True}}):
                return None  # a list whose name cannot be read cannot be asked for, nor what comes after it
        return None
