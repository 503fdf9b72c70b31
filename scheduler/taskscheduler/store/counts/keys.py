"""Counts jobs by the keys of an index that has all jobs of one status and no others.

MongoDB 6 reads each job that a query for a status finds in such an index, only to compare the status: 10 000 jobs take
40 ms. If the query asks for nothing and names the index, MongoDB counts its keys, in a third of the time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.store.counts.reached import Reached
from taskscheduler.store.job_lists import CAP, COUNT_INDEX
from taskscheduler.store.lenient_reads import read_command
from taskscheduler.store.schema import retention_index

_FEW = 100

_INDEXES_STAY = 60.0  #: seconds

_BARE: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_CLAMP)

Edge = Sequence[tuple[str, Any]]  #: a place in an index: a value for each of its fields


class KeyCounts:
    """Counts of jobs in one collection, each up to CAP + 1. Raises the driver's errors.

    It does not make a count that has reached its limit again for some seconds, see `Reached`.
    """

    def __init__(self, jobs: Collection[Document], clock: Clock = SYSTEM_CLOCK) -> None:
        self._jobs = jobs
        self._clock = clock
        self._present: Mapping[str, Any] | None = None
        self._present_at = 0.0
        self._reached = Reached(clock)

    def has(self, index: str) -> bool:
        """Whether there is an index of this name."""
        return index in self._indexes()

    def holds(self, index: str, status: Status) -> bool:
        """Whether there is an index of this name that has exactly the jobs in this status."""
        return bool(self._condition(index) == {"status": int(status)})

    def _condition(self, index: str) -> Any:
        return self._indexes().get(index, {}).get("partialFilterExpression")

    def _indexes(self) -> Mapping[str, Any]:
        now = self._clock.monotonic()
        if self._present is None or now - self._present_at > _INDEXES_STAY:
            self._present, self._present_at = self._jobs.index_information(), now
        return self._present

    def of(self, statuses: Iterable[Status]) -> dict[Status, int]:
        """Returns how many jobs are in each of these statuses."""
        return {status: self._of(status) for status in statuses}

    def _of(self, status: Status) -> int:
        if status in self._reached:
            return CAP + 1
        number = self._count_of(status)
        if number > CAP:
            self._reached.note(status)
        return number

    def _count_of(self, status: Status) -> int:
        index = COUNT_INDEX.get(status)
        if index is not None and self.holds(index, status):
            try:
                return self._counted({}, index)
            except OperationFailure:  # it is not there any more
                self._present = None
        return self._counted({"status": int(status)})

    def _counted(self, query: Document, index: str | None = None) -> int:
        """Counts with the command `count`, which takes half as long as an aggregation. No transaction is under way."""
        count: Document = {"count": self._jobs.name, "query": query, "limit": CAP + 1}
        command = {**count, "hint": index} if index is not None else count
        return int(read_command(self._jobs.database, command)["n"])

    def ended_since(self, status: Status, since: datetime, name: Hashable = None) -> int:
        """Returns how many jobs of a final status have ended since then; `name`: what `since` is in other words."""
        index = retention_index(status)
        if self.holds(index, status):
            try:
                return self.between(Keys(index, ("ended",), [("ended", since)]), CAP, name or since)
            except OperationFailure:
                self._present = None
        return self._counted({"status": int(status), "ended": {"$gte": since}})

    def between(self, keys: Keys, most: int, name: Hashable, least: int = 0) -> int:
        """Returns how many of these keys there are, up to `most` + 1.

        `name`: what they are, also when they begin or end elsewhere than last time; `least`: as many are there.
        """
        what = (keys.of, name, most)
        if what in self._reached:
            return most + 1
        read = partial(read_keys, self._jobs, keys)
        if least < _FEW and (few := len(read(limit=_FEW))) < _FEW:
            return min(few, most + 1)
        if read(skip=most, limit=1):
            self._reached.note(what)
            return most + 1
        return len(read(limit=most))


class Keys(NamedTuple):
    """Keys of an index, from one place in it to another, as far as these fields go."""

    of: str  #: the name of the index
    fields: Sequence[str]
    first: Edge
    end: Edge | None = None


def read_keys(jobs: Collection[Document], keys: Keys, limit: int, skip: int = 0) -> list[Document]:
    """Returns so many keys, each with its fields; they are all that the server reads. BSONError for an odd text.

    A date has no time zone, and one that is far off is the first or the last that there is: so a thousand keys are
    decoded in half a millisecond.
    """
    find: Document = {"find": jobs.name, "filter": {}, "projection": {"_id": 0, **dict.fromkeys(keys.fields, 1)}}
    find |= {"hint": keys.of, "min": dict(keys.first), "skip": skip, "limit": limit, "batchSize": limit}
    if keys.end is not None:
        find["max"] = dict(keys.end)
    reply = read_command(jobs.database, {**find, "singleBatch": True}, _BARE)
    found: list[Document] = reply["cursor"]["firstBatch"]
    return found
