"""The lists of jobs that wait for rates, and when it is worth to look at each of them, as this process knows it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

from pymongo.collection import Collection

from taskscheduler.clock import Clock
from taskscheduler.model.control.keys import RATE, kind_and_name
from taskscheduler.model.document import Document
from taskscheduler.store.lenient_reads import read
from taskscheduler.store.schema import IS_PARKED, PARKED_ORDER

_AT_ONCE = float("-inf")

_MOST = 10_000  #: lists that are remembered; sweeps look at the others

_BACKWARDS = {name: -direction for name, direction in [("blocked", 1), *PARKED_ORDER]}

_LISTS = {"$gte": f"{RATE}:", "$lt": f"{RATE};"}  # ; comes after :


class GivenBack(NamedTuple):
    """The last time that starts of a rate were given back here."""

    number: int  #: of all times, see `RateLists.given_back`
    latest: float  #: when to look at its list at the latest, in monotonic time


class RateLists:
    """Remembers each list until it is empty, so that of many only those are looked at whose rate allows a start.

    Safe to use from many threads.
    """

    def __init__(self, collection: Collection[Document], clock: Clock) -> None:
        self._collection = collection
        self._clock = clock
        self._due: dict[str, float] = {}  #: when to look at a list, in monotonic time
        self.given_back = 0  #: how often starts were given back here
        self._given_back: dict[str, GivenBack] = {}  #: by the key of the rate, the oldest first
        self._lock = threading.Lock()

    def find(self) -> None:
        """Learns which lists have jobs. The server reads one index entry of each."""
        stages: list[Document] = [
            {"$match": {"blocked": _LISTS, **IS_PARKED}},
            {"$sort": _BACKWARDS},
            {"$group": {"_id": "$blocked"}},
        ]
        for one in read(self._collection, lambda jobs: jobs.aggregate(stages, hint="blocked")):
            if type(one["_id"]) is str and one["_id"] not in self._due:  # sweeps see to what cannot be decoded
                self.looked_at(one["_id"], _AT_ONCE)

    def due(self) -> list[str]:
        """Returns the lists to look at now."""
        now = self._clock.monotonic()
        return [key for key, at in list(self._due.items()) if at <= now]

    def wait(self) -> float | None:
        """Returns the seconds until the next list is due; None if no job is known to wait."""
        due = min(list(self._due.values()), default=None)
        return None if due is None else max(0.0, due - self._clock.monotonic())

    def looked_at(self, key: str, again: float | None, since: int | None = None) -> None:
        """Notes when to look at a list again, in monotonic time; None: it is empty. Any other list than one of a rate
        does not matter.

        `since` is what `given_back` said before the look: what was given back after that may have been missed.
        """
        with self._lock:
            if again is None:
                self._due.pop(key, None)
            elif kind_and_name(key)[0] == RATE and (key in self._due or len(self._due) < _MOST):
                last = self._given_back.get(key)
                missed = last if last is not None and since is not None and last.number > since else None
                self._due[key] = again if missed is None else min(again, missed.latest)

    def look_within(self, seconds: float, keys: Iterable[str]) -> None:
        """Has these lists, as far as they have jobs, looked at by then: starts were given back that others missed."""
        latest = self._clock.monotonic() + seconds
        with self._lock:
            for key in keys:
                self.given_back += 1
                self._given_back.pop(key, None)
                self._given_back[key] = GivenBack(self.given_back, latest)
                if self._due.get(key, latest) > latest:
                    self._due[key] = latest
            while len(self._given_back) > _MOST:
                del self._given_back[next(iter(self._given_back))]

    def look_at(self, keys: Iterable[str]) -> None:
        """Has these lists looked at as soon as possible: jobs came, or starts were given back."""
        for key in keys:
            self.looked_at(key, _AT_ONCE)

    def look_at_all(self) -> None:
        """Has all known lists looked at as soon as possible: a rate was changed."""
        self.look_at(list(self._due))
