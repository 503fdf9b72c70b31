"""Counts the jobs that wait in queues: by keys of the index `claim`, a thousand at a time, however many wait."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from bson import MaxKey, MinKey
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from pymongo.collection import Collection

from taskscheduler.model.document import Document
from taskscheduler.store.counts.backlogs import MOST_QUEUES, Backlog
from taskscheduler.store.counts.keys import Edge, KeyCounts
from taskscheduler.store.counts.shares import FIRST, share

_AT_ONCE = 1000  #: keys that one answer has

CLAIM = "claim"

#: decodes four times as fast as what a job needs; all dates are without a time zone
_BARE: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_CLAMP)


class Counted(NamedTuple):
    """What a part of the index has of one queue."""

    queue: str
    jobs: int
    due: datetime | None  #: when the first of them was due


class OddNameError(Exception):
    """The queue of a job is not a text, so that the order of the index does not tell where its queue ends."""


class KeyBacklogs:
    """Reads backlogs by keys. Raises OddNameError, and the driver's errors."""

    def __init__(self, jobs: Collection[Document], keys: KeyCounts) -> None:
        self._bare: Collection[Document] = jobs.with_options(codec_options=_BARE)
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
        fields = {"_id": 0, "queue": 1, "at": 1}
        keys = self._bare.find({}, fields).hint(CLAIM).min(start).max(_END).limit(size).batch_size(size)
        try:
            return counted(keys)
        except BSONError:
            raise OddNameError from None

    def _backlog(self, one: Counted, is_complete: bool, most: int, now: datetime) -> Backlog:
        found = Backlog(one.queue, one.jobs, 0.0 if one.due is None else max(0.0, (now - one.due).total_seconds()))
        if is_complete:
            return found
        number = self._keys.between(CLAIM, before(one.queue), behind(one.queue), most)
        return replace(found, waiting=number, is_complete=number <= most)

    def _now(self) -> datetime:
        """Returns the time of the server, by which jobs are due."""
        now: datetime = self._bare.database.command("hello", codec_options=_BARE)["localTime"]
        return now


def counted(keys: Iterable[Document]) -> list[Counted]:
    """Returns what these keys have of each queue, in their order. OddNameError."""
    times: dict[Any, list[Any]] = {}
    try:
        for key in keys:
            times.setdefault(key.get("queue"), []).append(key.get("at"))
    except TypeError:  # it is a list or a document
        raise OddNameError from None
    if any(type(queue) is not str for queue in times):
        raise OddNameError
    return [Counted(queue, len(found), _first(found)) for queue, found in times.items()]


def _first(times: Iterable[Any]) -> datetime | None:
    return min((at for at in times if isinstance(at, datetime)), default=None)


def before(queue: Any) -> Edge:
    """Returns the place in the index before all jobs of a queue."""
    return [("queue", queue), ("priority", MaxKey()), ("at", MinKey()), ("_id", MinKey())]


def behind(queue: str) -> Edge:
    """Returns the place in the index behind all jobs of a queue: the highest priority comes first there."""
    return [("queue", queue), ("priority", MinKey()), ("at", MaxKey()), ("_id", MaxKey())]


_END = before({})  #: behind all texts
