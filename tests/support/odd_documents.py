"""Stored documents in which somebody has put anything anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

import bson
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.raw_bson import RawBSONDocument

from taskscheduler.model.payload import CODEC

Document = dict[str, Any]

#: long ago for a sweep, and too young to be deleted
PAST = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)

NO_UUID = Binary(b"no uuid", 4)

LATIN_1 = RawBSONDocument(bson.encode({"text": "caf#"}).replace(b"#", b"\xe9"))

LATIN = "caf#"  #: see `stored`

NEW: Any = object()

#: ids that are none
IDS: list[Any] = ["text", 7, 7.5, {"a": 1}, NO_UUID, b"bytes", None, LATIN, LATIN_1]

VALUES: list[Any] = [
    None, True, False, -1, 0, 1, 99, -(2**31), 2**31 - 1, 2**40, Int64(2**63 - 1), Int64(-(2**63)),
    -0.5, float("nan"), float("inf"), float("-inf"), 1e300, Decimal128("NaN"), Decimal128("1.5"),
    "", "text", "9", "done", "\x1b[2J", "$status", "a\0b", "x" * 5000,
    [], [[1]], ["next"], [None], [ObjectId()], [{"job": "x"}], list(range(3000)),
    {}, {"$ref": 1}, {"_id": 1}, {"a": NO_UUID}, {"$date": "soon"}, {"status": "x", "started": 1},
    NO_UUID, LATIN, LATIN_1, b"\0", Regex("(("), Code("x"), Code("x", {"a": 1}), DBRef("a", 1), Timestamp(1, 1),
    ObjectId(), datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    DatetimeMS(2**62), DatetimeMS(-(2**62)), MinKey(), MaxKey(),
]  # fmt: skip

_OPTIONS: Document = {
    "at": 0, "interval": 0, "interval_reference": "end", "retry": 0, "retry_interval": 300, "timeout": 0,
    "force_spawn": False,
}  # fmt: skip

_JOB: Document = {
    "class": "noop", "queue": "default", "priority": 0, "status": 0, "at": PAST, "created": PAST, "started": None,
    "ended": None, "alive": PAST, "attempt": 0, "retries": 0, "lost": 0, "progress": 0.0, "worker": None, "data": None,
    "options": _OPTIONS, "v": 1,
}  # fmt: skip

_SERVICE: Document = {
    "name": "mail", "restart": "always", "restart_interval": 1, "restart_interval_max": 60, "stop_soft": 5,
    "stop_hard": 10, "failures": 3,
}  # fmt: skip

_PROGRAM: Document = {
    "host": os.uname().nodename, "pid": 2**22 + 1, "started": 5, "boot": "b", "space": "s", "group": 2**22 + 1,
}  # fmt: skip

_ERROR: Document = {"type": "ValueError", "message": "no", "traceback": "Traceback", "exit_code": 1}

_RUN: Document = {"attempt": 1, "started": PAST, "node": "web-1", "worker": "w"}

_ATTEMPT: Document = {**_RUN, "ended": PAST, "status": 4, "error": _ERROR, "result": None}

_CLAIM: Document = {**_RUN, "claim": "c", "boot": ObjectId(), "node": "web-1"}

_SERIES: Document = {"series": ObjectId(), "seq": 1}

#: one sound job of each kind, without its id
JOBS: dict[str, Document] = {
    "waiting": {**_JOB, "tags": ["a"], "async": True, "wake": True, "dedupe": "d", "parent": ObjectId()},
    "postponed": {
        **_JOB, "status": 1, "retries": 1, "attempt": 1, "attempts": [_ATTEMPT], "rearmed": "1:failed", "snoozes": 1,
        "expires": datetime(2100, 1, 1, tzinfo=UTC), "first_started": PAST,
        "options": {**_OPTIONS, "retry": 2, "backoff": [1, 5], "jitter": 0.5, "retry_for": 9, "start_by": 60},
    },
    "parked": {**_JOB, "status": 1, "solo": "k", "parked_at": PAST, "once": "o", "once_key": "o"},
    "paused": {**_JOB, "status": 1, "blocked": "pause:job:noop", "parked_at": PAST},
    "running": {**_JOB, **_CLAIM, "status": 2, "progress": 5.0, "message": "half", "hook": True},
    "program": {
        **_JOB, **_RUN, "status": 2, "claim": "c", "program": _PROGRAM, "fields": {"a": 1}, "solo": "p", "gate": "p",
        "options": {**_OPTIONS, "silence_timeout": 5},
    },
    "done": {
        **_JOB, **_CLAIM, **_SERIES, "status": 3, "ended": PAST, "result": 7, "pending": ["next", "family", "hook"],
        "next": {"_id": ObjectId(), "at": PAST, "created": PAST, "once": "n"}, "options": {**_OPTIONS, "interval": 60},
    },
    "timeout": {**_JOB, **_CLAIM, "status": 6, "ended": PAST, "error": {"type": "JobTimeoutError", "message": "slow"}},
    "failed": {**_JOB, **_CLAIM, "status": 4, "ended": PAST, "error": _ERROR, "attempts": [_ATTEMPT], "lost": 1},
    "canceled": {**_JOB, **_CLAIM, "status": 5, "ended": PAST, "solo": "k", "gate": "k", "gate_until": PAST},
    "service": {**_JOB, "status": 1, "attempt": 3, "service": _SERVICE, "error": _ERROR},
}  # fmt: skip

#: one sound node, without its id
NODE: Document = {
    "name": "web-1", "host": "web-1", "pid": 7, "version": "0.1", "pm": "dynamic", "beat": 5, "alive": PAST,
    "started": PAST, "lease": 30.0, "grace": 0.5, "slots": 2, "running": 1, "busy": 1, "queues": ["default"],
    "ended": {"succeeded": 1}, "lost": True, "jobs": ["noop"], "unknown": ["Mail"],
    "workers": [{"pid": 9, "job": ObjectId(), "seconds": 1.0, "jobs": 1, "id": "w"}],
}  # fmt: skip


class Change(NamedTuple):
    """One field, also an inner one, and its odd value; missing if there is none."""

    what: str
    place: tuple[Any, ...]
    value: tuple[Any, ...]

    def of(self, sound: Document) -> Document:
        """Returns a changed copy of a document."""
        return cast(Document, _with(sound, self.place, *self.value))


_SHOWN = [f"{number}:{value!r:.30}" for number, value in enumerate(VALUES)]


def changes_of(sound: Document) -> Iterator[Change]:
    """Yields what `changed` does to a document, for tests that make only some of these documents."""
    for place in _places(sound):
        name = ".".join(map(str, place))
        yield Change(f"{name} missing", place, ())
        for shown, value in zip(_SHOWN, VALUES, strict=True):
            yield Change(f"{name} {shown}", place, (value,))


def changed(sound: Document) -> Iterator[tuple[str, Document]]:
    """Yields copies of a document in which one field, also an inner one, is missing or has one of VALUES."""
    for change in changes_of(sound):
        yield change.what, change.of(sound)


def _places(document: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts = document.items() if isinstance(document, dict) else enumerate(document)
    for name, value in parts:
        yield (*above, name)
        if isinstance(value, dict | list):
            yield from _places(value, (*above, name))


def _with(document: Any, place: tuple[Any, ...], *value: Any) -> Any:
    copy = dict(document) if isinstance(document, dict) else list(document)
    first, *rest = place
    if rest:
        copy[first] = _with(copy[first], tuple(rest), *value)
    elif value:
        copy[first] = value[0]
    else:
        del copy[first]
    return copy


def stored(document: Document, job_id: Any = NEW) -> bytes:
    """The bytes of a document with this id, or a new one; each text LATIN is in Latin-1, which nobody can decode."""
    whole = {"_id": ObjectId() if job_id is NEW else job_id, **document}
    return bson.encode(whole, codec_options=CODEC).replace(LATIN.encode(), b"caf\xe9")


#: one sound message of each kind that wakes nodes
MESSAGES: dict[str, Document] = {
    "added": {"jobs": [ObjectId()], "queues": ["default"], "later": True, "forced": True, "rearmed": True},
    "cancelled": {"stop": [ObjectId()]},
}
