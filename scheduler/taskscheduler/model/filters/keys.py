"""The keys of the filter language, and what each of them asks of a job."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from taskscheduler.model.checks import near_miss
from taskscheduler.model.filters.job_query import STATUS_ALIASES
from taskscheduler.model.filters.values import (
    FilterError,
    Value,
    an_id,
    any_text,
    compared,
    containing,
    datum,
    moment,
    number,
)
from taskscheduler.model.lifecycle import FINAL, LIVE, Status

Condition = dict[str, Any]

#: the kinds of jobs, and the queries that find them
KINDS: Mapping[str, Mapping[str, Any]] = {
    "service": {"service.name": {"$exists": True}},
    "program": {"program": {"$exists": True}},
    "solo": {"solo": {"$exists": True}},
}

STATUSES: Mapping[str, frozenset[Status]] = {
    "live": LIVE,
    "ended": FINAL,
    **{status.label: frozenset({status}) for status in Status},
}

DATA = "data"


class Key(ABC):
    """What one key asks of a job."""

    ordered = False  #: whether values may be compared by their order
    several = True  #: whether it takes several values, of which a job must have one

    @abstractmethod
    def condition(self, operator: str, values: Sequence[Value], now: datetime) -> Condition:
        """Returns the condition; FilterError for a wrong value."""


class _Text(Key):
    def __init__(self, *fields: str) -> None:
        self._fields = fields

    def condition(self, operator: str, values: Sequence[Value], now: datetime) -> Condition:  # noqa: ARG002
        wanted = any_text(values)
        found = [{field: wanted} for field in self._fields]
        return found[0] if len(found) == 1 else {"$or": found}


class _Status(Key):
    def condition(self, operator: str, values: Sequence[Value], now: datetime) -> Condition:  # noqa: ARG002
        wanted = {int(status) for value in values for status in _one_of("status", STATUSES, STATUS_ALIASES, value)}
        return {"status": {"$in": sorted(wanted)}}


class _Kind(Key):
    several = False

    def condition(self, operator: str, values: Sequence[Value], now: datetime) -> Condition:  # noqa: ARG002
        return dict(_one_of("kind", KINDS, {}, values[0]))


def _one_of(what: str, known: Mapping[str, Any], aliases: Mapping[str, str], value: Value) -> Any:
    name = value.text.lower()
    name = aliases.get(name, name)
    if name not in known:
        hint = near_miss(value.text, known, aliases) or f"; there are {', '.join(known)}"
        raise FilterError(f"there is no {what} {value.text!r:.60}{hint}")
    return known[name]


class _Id(Key):
    def __init__(self, field: str) -> None:
        self._field = field

    def condition(self, operator: str, values: Sequence[Value], now: datetime) -> Condition:  # noqa: ARG002
        ids = [an_id(value) for value in values]
        return {self._field: ids[0] if len(ids) == 1 else {"$in": ids}}


class _Number(Key):
    ordered = True

    def __init__(self, field: str) -> None:
        self._field = field

    def condition(self, operator: str, values: Sequence[Value], now: datetime) -> Condition:  # noqa: ARG002
        numbers = [number(value) for value in values]
        return {self._field: compared(operator, numbers[0]) if len(numbers) == 1 else {"$in": numbers}}


class _Date(Key):
    ordered, several = True, False

    def __init__(self, field: str) -> None:
        self._field = field

    def condition(self, operator: str, values: Sequence[Value], now: datetime) -> Condition:
        return {self._field: moment(operator, values[0], now)}


class _Due(Key):
    """When a job is due; a job that is parked keeps that date elsewhere."""

    ordered, several = True, False

    def condition(self, operator: str, values: Sequence[Value], now: datetime) -> Condition:
        wanted = moment(operator, values[0], now)
        return {"$or": [{"at": wanted, "parked_at": {"$exists": False}}, {"parked_at": wanted}]}


class _Data(Key):
    ordered, several = True, False

    def __init__(self, path: str) -> None:
        self._path = path

    def condition(self, operator: str, values: Sequence[Value], now: datetime) -> Condition:  # noqa: ARG002
        return {self._path: datum(operator, values[0])}


class _Anywhere(Key):
    """A text without a key."""

    several = False

    def condition(self, operator: str, values: Sequence[Value], now: datetime) -> Condition:  # noqa: ARG002
        looked_for = containing(values[0].text)
        return {"$or": [{field: looked_for} for field in ("class", "tags", "message", "error.type", "error.message")]}


KEYS: Mapping[str, Key] = {
    "status": _Status(),
    "class": _Text("class"),
    "queue": _Text("queue"),
    "tag": _Text("tags"),
    "id": _Id("_id"),
    "parent": _Id("parent"),
    "series": _Id("series"),
    "flow": _Id("flow"),
    "schedule": _Text("schedule"),
    "service": _Text("service.name"),
    "solo": _Text("solo"),
    "limit": _Text("limits"),
    "sequence": _Text("sequence"),
    "group": _Text("group"),
    "kind": _Kind(),
    "node": _Text("node"),
    "worker": _Text("worker"),
    "error": _Text("error.type", "error.message"),
    "fingerprint": _Text("fingerprint"),
    "created": _Date("created"),
    "at": _Due(),
    "started": _Date("started"),
    "ended": _Date("ended"),
    "alive": _Date("alive"),
    "attempt": _Number("attempt"),
    "retries": _Number("retries"),
    "lost": _Number("lost"),
    "priority": _Number("priority"),
    "progress": _Number("progress"),
}

ALIASES: Mapping[str, str] = {
    "job": "class", "name": "class", "state": "status", "tags": "tag", "origin": "id", "due": "at", "added": "created",
}  # fmt: skip

ANYWHERE = _Anywhere()


def canonical(name: str) -> str:
    """Returns the name of a key, whichever of its names was written."""
    lower = name.lower()
    return name if name.partition(".")[0] == DATA else ALIASES.get(lower, lower)


def key_of(name: str) -> Key:
    """Returns what a key asks; FilterError if there is none of this name."""
    if name == "":
        return ANYWHERE
    if name.partition(".")[0] == DATA:
        return _Data(_checked_path(name))
    if name not in KEYS:
        known = f"; keys are {', '.join(KEYS)} and data.NAME; a text with a colon needs quotes"
        raise FilterError(f"there is no key {name!r:.60}{near_miss(name, [*KEYS, DATA], ALIASES) or known}")
    return KEYS[name]


def _checked_path(path: str) -> str:
    parts = path.split(".")
    if not all(parts) or any(part.startswith("$") for part in parts):
        raise FilterError("the place in the data must be names with dots between them, such as data.user.id")
    return path
