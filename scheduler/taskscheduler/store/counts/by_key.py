"""Counts the jobs that wait in queues: by keys of the index `claim`, a thousand or two at a time, however many wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from operator import methodcaller
from typing import Any, NamedTuple

from bson import MaxKey, MinKey
from bson.errors import BSONError
from pymongo.collection import Collection

from taskscheduler.clock import NEVER
from taskscheduler.model.document import Document
from taskscheduler.store.counts.backlogs import MOST_QUEUES, Backlog
from taskscheduler.store.counts.keys import Edge, KeyCounts, Keys, read_keys
from taskscheduler.store.counts.shares import FIRST, share
from taskscheduler.store.lenient_reads import read_command

_AT_ONCE = 2000  #: keys that one answer has, apart from the first: that one is to tell whether there are few at all

CLAIM = "claim"

_QUEUE = methodcaller("get", "queue")


class Counted(NamedTuple):
    """What a part of the index has of one queue."""

    queue: str
    jobs: int
    due: float  #: when the first of them was due, a unix time


class OddNameError(Exception):
    """The queue of a job is not a text, so that the order of the index does not tell where its queue ends."""


class KeyBacklogs:
    """Reads backlogs by keys. Raises OddNameError, and the driver's errors."""

    def __init__(self, jobs: Collection[Document], keys: KeyCounts) -> None:
        self._jobs = jobs
        self._keys = keys

    def first(self) -> list[Backlog]:
        """Returns the backlogs of the first queues by name; `read_backlogs` says how they are counted."""
        found = list(self._sweep())[:MOST_QUEUES]
        if not found:
            return []
        longer, now = [one.queue for one, is_complete in found if not is_complete], self._now()
        most = share(len(longer))
        return [self._backlog(one, is_complete, most, now) for one, is_complete in found]

    def _sweep(self) -> Iterator[tuple[Counted, bool]]:
        """Yields the first queues, and whether all of their jobs are counted; passes over the rest of long ones."""
        start, size, number = behind(""), FIRST + 1, 0
        while number < MOST_QUEUES and (part := self._part(start, size)):
            *whole, last = part
            yield from ((one, True) for one in whole)
            number += len(whole)
            if sum(one.jobs for one in part) < size:
                yield last, True
                return
            if last.jobs >= FIRST:
                yield last, False
                start, size, number = behind(last.queue), FIRST + 1, number + 1
            else:  # the next part has all of this one
                start, size = before(last.queue), _AT_ONCE

    def _part(self, start: Edge, size: int) -> list[Counted]:
        """Returns the queues of so many keys from a place in the index; of the last one there may be more."""
        try:
            return counted(read_keys(self._jobs, Keys(CLAIM, ("queue", "at"), start, _END), size))
        except BSONError:
            raise OddNameError from None

    def _backlog(self, one: Counted, is_complete: bool, most: int, now: float) -> Backlog:
        found = Backlog(one.queue, one.jobs, max(0.0, now - one.due))
        if is_complete:
            return found
        keys = Keys(CLAIM, ("queue",), before(one.queue), behind(one.queue))
        number = self._keys.between(keys, most, one.queue, one.jobs)
        return replace(found, waiting=number, is_complete=number <= most)

    def _now(self) -> float:
        """Returns the time of the server, by which jobs are due."""
        hello = read_command(self._jobs.database, {"hello": 1}, self._jobs.codec_options)
        now: datetime = hello["localTime"]
        return now.timestamp()


def counted(keys: Iterable[Document]) -> list[Counted]:
    """Returns what these keys have of each queue, in their order. OddNameError."""
    found: dict[str, Counted] = {}
    for queue, run in groupby(keys, key=_QUEUE):
        if type(queue) is not str:
            raise OddNameError
        moments = [key.get("at") for key in run]
        known = found.get(queue, Counted(queue, 0, NEVER))
        found[queue] = Counted(queue, known.jobs + len(moments), min(known.due, _first(moments)))
    return list(found.values())


def _first(moments: Iterable[Any]) -> float:
    """Returns the first of stored dates as a unix time; NEVER if none of them is a date."""
    dates = [at for at in moments if type(at) is datetime]
    return min(dates).replace(tzinfo=UTC).timestamp() if dates else NEVER


def before(queue: Any) -> Edge:
    """Returns the place in the index before all jobs of a queue."""
    return [("queue", queue), ("priority", MaxKey()), ("at", MinKey()), ("_id", MinKey())]


def behind(queue: str) -> Edge:
    """Returns the place in the index behind all jobs of a queue: the highest priority comes first there."""
    return [("queue", queue), ("priority", MinKey()), ("at", MaxKey()), ("_id", MaxKey())]


_END = before({})  #: behind all texts
