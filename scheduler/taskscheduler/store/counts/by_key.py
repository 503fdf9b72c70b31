"""Counts the jobs that wait in queues: by keys of the index `claim`, a thousand at a time, however many wait."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from bson import MaxKey, MinKey, decode
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from pymongo.collection import Collection

from taskscheduler.clock import NEVER
from taskscheduler.model.document import Document
from taskscheduler.store.counts.backlogs import MOST_QUEUES, Backlog
from taskscheduler.store.counts.keys import Edge, KeyCounts, Keys, length_at, read_keys
from taskscheduler.store.counts.shares import FIRST, share
from taskscheduler.store.lenient_reads import read_command

_AT_ONCE = 1000  #: keys that one answer has

CLAIM = "claim"

_BARE: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_CLAMP)

_DATE = b"\x09at\0"  #: what comes before the value of the field `at` if that is a date

_VALUE = 9  #: bytes of the date, and the end of the document

_LAST = _VALUE + len(_DATE)


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
        start, size, number = behind(""), _AT_ONCE, 0
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
        return counted(read_keys(self._jobs, Keys(CLAIM, ("queue", "at"), start, _END), size))

    def _backlog(self, one: Counted, is_complete: bool, most: int, now: float) -> Backlog:
        found = Backlog(one.queue, one.jobs, max(0.0, now - one.due))
        if is_complete:
            return found
        number = self._keys.between(CLAIM, before(one.queue), behind(one.queue), most)
        return replace(found, waiting=number, is_complete=number <= most)

    def _now(self) -> float:
        """Returns the time of the server, by which jobs are due."""
        hello = read_command(self._jobs.database, {"hello": 1}, self._jobs.codec_options)
        now: datetime = hello["localTime"]
        return now.timestamp()


def counted(keys: bytes) -> list[Counted]:
    """Returns what these keys have of each queue, in their order. OddNameError."""
    found: dict[str, Counted] = {}
    for run in _runs(keys):
        known = found.get(run.queue)
        found[run.queue] = run if known is None else Counted(run.queue, known.jobs + run.jobs, min(known.due, run.due))
    return list(found.values())


def _runs(keys: bytes) -> Iterator[Counted]:
    """Yields keys of one queue that follow each other; they differ in their dates alone, which are their last fields.

    So one is decoded, and the others are told by their bytes: a thousand keys take half a millisecond.
    """
    start, end = 0, len(keys)
    while start < end:
        size = length_at(keys, start)
        stop = start + size
        queue = _name(keys[start:stop])
        if keys[stop - _LAST : stop - _LAST + len(_DATE)] == _DATE:
            head = keys[start : stop - _VALUE]
            while keys.startswith(head, stop):
                stop += size
            dates = struct.iter_unpack(f"<{size - _VALUE}xqx", keys[start:stop])
            yield Counted(queue, (stop - start) // size, min(dates)[0] / 1000)
        else:
            yield Counted(queue, 1, NEVER)
        start = stop


def _name(key: bytes) -> str:
    try:
        name = decode(key, _BARE).get("queue")
    except BSONError:
        raise OddNameError from None
    if type(name) is not str:
        raise OddNameError
    return name


def before(queue: Any) -> Edge:
    """Returns the place in the index before all jobs of a queue."""
    return [("queue", queue), ("priority", MaxKey()), ("at", MinKey()), ("_id", MinKey())]


def behind(queue: str) -> Edge:
    """Returns the place in the index behind all jobs of a queue: the highest priority comes first there."""
    return [("queue", queue), ("priority", MinKey()), ("at", MaxKey()), ("_id", MaxKey())]


_END = before({})  #: behind all texts
