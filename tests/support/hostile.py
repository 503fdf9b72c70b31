"""Data that mean something to MongoDB, and jobs that pass them on."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import bson
from bson import Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from taskscheduler import Job, Process, Status
from taskscheduler.model.payload import CODEC, DEEPEST


def nested(levels: int) -> Any:
    """A text below so many levels, lists and mappings by turns, with an operator in its heart."""
    value: Any = {"$where": "true"}
    for level in range(levels - 1):
        value = {"$set": value} if level % 2 else [value]
    return value


VALUES: dict[str, Any] = {
    "where": {"$where": "sleep(100000) || true"},
    "now": "$$NOW",
    "now inside": {"at": "$$NOW", "$$NOW": "$$ROOT"},
    "field": "$data",
    "fields": ["$_id", "$class", {"$data": "$data.x"}],
    "expression": {"$add": [1, 2]},
    "function": {"$function": {"body": "function() { while (true) {} }", "args": [], "lang": "js"}},
    "literal": {"$literal": {"$literal": "$$NOW"}},
    "query": [{"$gt": ""}, {"$ne": None}, {"$exists": False}, {"$in": []}],
    "query as data": {"$gt": ""},
    "update": {
        "$set": {"status": 3},
        "$inc": {"attempt": 100},
        "$unset": {"data": ""},
        "$currentDate": {"ended": True},
    },
    "removal": "$$REMOVE",
    "removal inside": {"a": "$$REMOVE", "b": ["$$REMOVE"]},
    "fields of a job": {
        "_id": 1,
        "status": 3,
        "claim": "x",
        "attempt": 99,
        "class": "mirror",
        "options": {"retry": -1},
    },
    "dots": {"a.b.c": 1, "a": {"b": {"c": 2}}, ".": 3, "..": 4, "a.": 5, ".a": 6},
    "dollars": {"$": 1, "$[]": 2, "$[x]": 3, "a.$": 4, "$.a": 5, "a$": 6, "$$": 7},
    "empty keys": {"": {"": {"": ""}}},
    "numbers as keys": {"0": "a", "1": {"0": "b"}, "-1": "c"},
    "part of a reference": {"$id": 1, "$db": "admin"},
    "extended json": {"$date": "2026-01-01T00:00:00Z", "$oid": "0" * 24, "$numberLong": "1"},
    "code": Code("function() { while (true) {} }"),
    "code with scope": {"$where": Code("x", {"x": "$$NOW"})},
    "pattern": Regex("^(a+)+$", "i"),
    "binary": bytes(range(256)),
    "text": "a\0b\x1b[2J\r\n\u202e\U0001d11e$$NOW",
    "numbers": [2**63 - 1, -(2**63), 2**31, 0.1, float("inf"), Int64(1), Decimal128("0.1")],
    "ends": [MinKey(), MaxKey(), Timestamp(1, 2), ObjectId("5" * 24), UUID(int=7)],
    "date": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
    "dates beyond those of Python": [DatetimeMS(2**60), {"before": DatetimeMS(-(2**60))}],
    "nothing": None,
    "no": False,
    "zero": 0,
    "empty": {},
    "empty list": [],
    "order": {"b": 1, "a": 2, "_id": 3},
    "deepest": nested(DEEPEST - 1),
}
TEXTS = ("$$NOW", "$data", "$$REMOVE", '{"$where": "true"}', "a\0b", "$$ROOT.data", "", "\x1b[2J")


def same(one: Any, other: Any) -> bool:
    """Equal to the last byte: types and the order of keys included."""
    return bool(bson.encode({"": one}, codec_options=CODEC) == bson.encode({"": other}, codec_options=CODEC))


class Mirror(Job):
    """Gives back what it was given."""

    name = "mirror"

    def start(self) -> Any:
        return self.data


class MirrorSecond(Job):
    """Fails at first, with a message that looks like an expression."""

    name = "mirror_second"

    def start(self) -> Any:
        if self.attempt == 1:
            self.update_progress(message="$$NOW")
            raise ValueError("$$NOW")
        return self.data


class MirrorHooked(Job):
    """Wants to be notified, so that its end is written as a pipeline."""

    name = "mirror_hooked"

    def start(self) -> Any:
        return self.data

    def notification(self, status: Status, process: Process) -> None:
        pass


class Says(Job):
    """Reports a text as progress, then fails with it if told so."""

    name = "says"

    def start(self) -> None:
        self.update_progress(50, message=self.data["text"])
        if self.data["fail"]:
            raise ValueError(self.data["text"])


class Breaks(Job):
    """Fails whatever it was given."""

    name = "breaks"

    def start(self) -> None:
        raise ValueError("$$ROOT")


class Modules(Job):
    """The modules that its worker has imported."""

    name = "modules"

    def start(self) -> list[str]:
        return sorted(sys.modules)
