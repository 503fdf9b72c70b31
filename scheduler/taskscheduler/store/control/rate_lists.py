"""The lists of jobs that wait for rates, and when it is worth to look at each of them, as this process knows it."""

from __future__ import annotations

from collections.abc import Iterable

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


class RateLists:
    """Remembers each list until it is empty, so that of many only those are looked at whose rate allows a start.

    Safe to use from many threads: each call changes or copies the lists at once.
    """

    def __init__(self, collection: Collection[Document], clock: Clock) -> None:
        self._collection = collection
        self._clock = clock
        self._due: dict[str, float] = {}  #: when to look at a list, in monotonic time

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

    def looked_at(self, key: str, again: float | None) -> None:
        """Notes when to look at a list again, in monotonic time; None: it is empty. Any other list than one of a rate
        does not matter.
        """
        if again is None:
            self._due.pop(key, None)
        elif kind_and_name(key)[0] == RATE and (key in self._due or len(self._due) < _MOST):
            self._due[key] = again

    def look_within(self, seconds: float, keys: Iterable[str]) -> None:
        """Has these lists, as far as they have jobs, looked at by then: starts were given back that others missed."""
        latest = self._clock.monotonic() + seconds
        for key in keys:
            if self._due.get(key, latest) > latest:
                self.looked_at(key, latest)

    def look_at(self, keys: Iterable[str]) -> None:
        """Has these lists looked at as soon as possible: jobs came, or starts were given back."""
        for key in keys:
            self.looked_at(key, _AT_ONCE)

    def look_at_all(self) -> None:
        """Has all known lists looked at as soon as possible: a rate was changed."""
        self.look_at(list(self._due))
