"""Says which fields a stored job needs for what a node does with it, and names the first one that is missing or wrong.

A document may have been written by any program. Every job that a node claims, rescues or delivers effects of passes
here, so the rest of the node may rely on the types that these tables name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError

from taskscheduler.model.checks import CONSTANT, EXPONENTIAL, LINEAR, LONGEST
from taskscheduler.model.control.keys import BLOCK, SKIP
from taskscheduler.model.lenient import UnreadableDocument
from taskscheduler.model.losses import NODE, WORKER
from taskscheduler.model.sound import is_text

Check = Callable[[Any], str | None]  #: returns what is wrong with a value, None if nothing is

_MOST = 2**31 - 1


class Fault(NamedTuple):
    """A field of a stored document that cannot be used, and why."""

    field: str
    problem: str

    def error(self) -> dict[str, str]:
        """Returns the error that the job gets."""
        message = f"the stored job cannot be used: its field {self.field} {self.problem}"
        return {"type": "InvalidDocumentError", "message": message, "place": f"field {self.field}"}


_MISSING = "is missing"


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {value!r:.60}"


def _kind(what: str, *types: type) -> Check:
    return lambda value: None if isinstance(value, types) else f"must be {what}, not {_shown(value)}"


def _number(what: str, least: float, most: float, whole: bool = False) -> Check:
    def check(value: Any) -> str | None:
        types = int if whole else int | float
        if isinstance(value, types) and not isinstance(value, bool) and math.isfinite(value) and least <= value <= most:
            return None
        return f"must be {what} between {least} and {most}, not {_shown(value)}"

    return check


def _one_of(*names: str) -> Check:
    return lambda value: None if value in names else f"must be one of {', '.join(names)}, not {_shown(value)}"


_ID = _kind("an ObjectId", ObjectId)


def _text(value: Any) -> str | None:
    return None if is_text(value) else f"must be a text, not {_shown(value)}"


_DATE = _kind("a date", datetime, DatetimeMS)
_NEAR_DATE = _kind("a date that Python can represent", datetime)
_DOCUMENT = _kind("a document", Mapping)
_BOOLEAN = _kind("a boolean", bool)
_COUNT = _number("an integer", 0, _MOST, whole=True)
_SECONDS = _number("a number of seconds", 0, LONGEST)


def _optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _backoff(value: Any) -> str | None:
    if not isinstance(value, list):
        return _one_of(CONSTANT, LINEAR, EXPONENTIAL)(value)
    return next((problem for pause in value if (problem := _SECONDS(pause))), None if value else "must not be empty")


def _start_by(value: Any) -> str | None:
    return None if isinstance(value, datetime) else _SECONDS(value)


def _names(value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return f"must be a list of texts, not {_shown(value)}"
    return next((problem for name in value if (problem := _text(name))), None)


#: what a job is under, as far as it is
_CONTROLS: Mapping[str, Check] = {"sequence": _text, "limits": _names, "solo": _text}

#: the fields of a job that must be there
_FENCE: Mapping[str, Check] = {
    "_id": _ID,
    "claim": _text,
    "attempt": _number("an integer", 1, _MOST, whole=True),
}

_OPTIONS: Mapping[str, Check] = {
    "interval": _number("a number of seconds", -1, LONGEST),
    "interval_reference": _one_of("start", "end"),
    "retry": _number("an integer", -1, _MOST, whole=True),
    "retry_interval": _SECONDS,
    "timeout": _SECONDS,
    "force_spawn": _BOOLEAN,
}

#: options that are stored only if they were chosen
_RARE_OPTIONS: Mapping[str, Check] = {
    "silence_timeout": _SECONDS,
    "backoff": _backoff,
    "retry_interval_max": _SECONDS,
    "jitter": _number("a number", 0, 1),
    "retry_for": _SECONDS,
    "start_by": _start_by,
    "sequence_on_failure": _one_of(SKIP, BLOCK),
}

_SERVICE: Mapping[str, Check] = {
    "name": _text,
    "restart": _one_of("always", "on-failure", "never"),
    "restart_interval": _SECONDS,
    "restart_interval_max": _SECONDS,
    "stop_soft": _SECONDS,
    "stop_hard": _SECONDS,
    "failures": _COUNT,
}

_SUSPECT: Mapping[str, Check] = {"of": _one_of(WORKER, NODE), "times": _COUNT}

#: the fields of a job that are looked at if they are there
_OTHERS: Mapping[str, Check] = {
    "retries": _COUNT,
    "lost": _COUNT,
    "signalled": _COUNT,
    "suspect": _DOCUMENT,
    "parent": _optional(_ID),
    "series": _ID,
    "seq": _COUNT,
    **_CONTROLS,
    "once": _text,
    "expires": _NEAR_DATE,
    "first_started": _NEAR_DATE,
}

#: those that ordinary jobs do not have
_RARE = frozenset(_OTHERS) - {"retries", "lost"} | {"service"}

_PLACE: Mapping[str, Check] = {
    "_id": _ID,
    "queue": _text,
    "priority": _number("an integer", -(2**31), _MOST),
    "at": _DATE,
}

_PLAN: Mapping[str, Check] = {"_id": _ID, "at": _NEAR_DATE, "created": _NEAR_DATE}

_INHERITED: Mapping[str, Check] = {"class": _text, "queue": _text, "series": _ID, "seq": _COUNT}


def faults_of_claimed(jobs: Iterable[Mapping[str, Any]]) -> dict[int, Fault]:
    """Returns the faults among claimed jobs, by their positions; empty for jobs that can run.

    Jobs of one batch mostly have the same options, so those are compared with the last good ones first.
    """
    faults: dict[int, Fault] = {}
    known: Any = object()  # equal to no options
    for number, job in enumerate(jobs):
        if type(job) is dict and job.get("options") == known and _is_ordinary(job):
            continue
        fault = fault_of_claimed(job)
        if fault is None:
            known = job["options"]
        else:
            faults[number] = fault
    return faults


def _is_ordinary(job: Mapping[str, Any]) -> bool:
    attempt = job.get("attempt")
    return (
        type(attempt) is int
        and 0 < attempt <= _MOST
        and type(job.get("class")) is str
        and type(job.get("_id")) is ObjectId
        and job.get("retries") == job.get("lost") == 0
        and _RARE.isdisjoint(job)
    )


def fault_of_claimed(job: Mapping[str, Any]) -> Fault | None:
    """Returns what keeps a node from running a job that it has claimed."""
    return _first(job, {"_id": _ID, "attempt": _FENCE["attempt"], "class": _text})


def fault_of_unclaimable(job: Mapping[str, Any]) -> Fault:
    """Returns why the database refuses to claim a waiting job."""
    return _wrong(job, {"attempt": _COUNT}) or Fault("document", "takes no further attempt, according to the database")


def fault_of_held(job: Mapping[str, Any]) -> Fault | None:
    """Returns what keeps a node from writing the loss of an attempt that another node held."""
    return _first(job, _FENCE)


def fault_of_decoding(document: Mapping[str, Any]) -> Fault | None:
    """Returns the first field of a document that could not be decoded."""
    if isinstance(document, UnreadableDocument):
        return Fault(document.place, f"cannot be decoded: {document.reason}")
    return None


def fault_of_record(job: Mapping[str, Any]) -> Fault | None:
    """Returns what keeps a node from ending the record of a program."""
    fault = fault_of_decoding(job) or _wrong(job, _FENCE) or _wrong_part(job, "options", {})
    return fault or _wrong_rare_option(job) or fault_of_parked(job)


def fault_of_late(job: Mapping[str, Any]) -> Fault | None:
    """Returns what keeps a node from ending a queued job that has not started in time."""
    needed = {"_id": _ID, "attempt": _COUNT, "expires": _NEAR_DATE}
    fault = fault_of_decoding(job) or _wrong(job, needed) or _wrong_part(job, "options", {})
    return fault or _wrong_rare_option(job)


def _wrong_rare_option(job: Mapping[str, Any]) -> Fault | None:
    options = job["options"]
    return _wrong(options, {name: check for name, check in _RARE_OPTIONS.items() if name in options}, "options.")


def fault_of_parked(job: Mapping[str, Any]) -> Fault | None:
    """Returns what keeps a parked job from being in the list of one of its controls."""
    needed = {name: check for name, check in _CONTROLS.items() if name in job}
    if "group" in job and "parked_at" in job:
        needed |= {"group": _text, "queue": _text, "priority": _PLACE["priority"]}
    return _wrong(job, needed)


def fault_of_service(job: Mapping[str, Any]) -> Fault | None:
    """Returns what keeps a job from being run as a service."""
    return _wrong_part(job, "service", _SERVICE)


def fault_of_series(job: Mapping[str, Any]) -> Fault | None:
    """Returns what keeps the next run of a job from being planned."""
    fault = _wrong_part(job, "options", _OPTIONS)
    return fault or (_wrong(job, {"series": _ID, "seq": _COUNT}) if "series" in job else None)


def fault_of_template(template: Mapping[str, Any]) -> Fault | None:
    """Returns what keeps the runs of a schedule from being added."""
    needed = {"class": _text, "queue": _text, "priority": _PLACE["priority"]}
    fault = _wrong(template, needed) or _wrong_part(template, "options", _OPTIONS)
    return fault or fault_of_parked(template)


def has_fence(job: Mapping[str, Any]) -> bool:
    """Whether the fields that name an attempt are what they should be."""
    return _wrong(job, _FENCE) is None


def _first(job: Mapping[str, Any], needed: Mapping[str, Check]) -> Fault | None:
    try:
        return (
            fault_of_decoding(job) or _wrong(job, needed) or _wrong_part(job, "options", _OPTIONS) or _wrong_rest(job)
        )
    except BSONError as error:  # of a large document only the fields that are read are decoded
        return Fault("options", f"cannot be decoded: {error!s:.200}")


def _wrong_rest(job: Mapping[str, Any]) -> Fault | None:
    fault = _wrong(job, {name: check for name, check in _OTHERS.items() if name in job})
    fault = fault or _wrong_rare_option(job)
    if fault is None and "series" in job and "seq" not in job:
        fault = Fault("seq", _MISSING)
    if fault is None and "service" in job:
        fault = _wrong_part(job, "service", _SERVICE)
    if fault is None and "suspect" in job:
        fault = _wrong_part(job, "suspect", _SUSPECT)
    return fault


def _wrong_part(job: Mapping[str, Any], name: str, checks: Mapping[str, Check]) -> Fault | None:
    """Returns the first fault in a document within a job."""
    return _wrong(job, {name: _DOCUMENT}) or _wrong(job[name], checks, f"{name}.")


def _wrong(document: Mapping[str, Any], checks: Mapping[str, Check], above: str = "") -> Fault | None:
    for name, check in checks.items():
        problem = check(document[name]) if name in document else _MISSING
        if problem is not None:
            return Fault(above + name, problem)
    return None


def fault_of_waiting(entry: Mapping[str, Any]) -> Fault | None:
    """Returns what is wrong with the id and the place in the queue of a job that waits, as far as they were read."""
    ordinary = (
        type(entry.get("queue")) is str and type(entry.get("priority")) is int and type(entry.get("at")) is datetime
    )
    if ordinary and type(entry["_id"]) is ObjectId:
        return None
    return fault_of_decoding(entry) or _wrong(entry, _PLACE)


def fault_of_ended(job: Mapping[str, Any]) -> Fault | None:
    """Returns what keeps the effects of an ended job from being delivered."""
    pending = job.get("pending", [])
    if not isinstance(pending, list):
        return Fault("pending", f"must be a list, not {_shown(pending)}")
    fault = _wrong(job, {"_id": _ID, "status": _COUNT})
    if fault is None and "next" in pending:
        fault = fault_of_decoding(job)
    if fault is None and "family" in pending and job.get("parent") is not None:
        fault = _wrong(job, {"parent": _ID})
    if fault is None and "next" in pending:
        fault = _wrong_part(job, "next", _PLAN) or _wrong(job, _INHERITED) or _wrong_part(job, "options", _OPTIONS)
        fault = fault or _wrong_rare_option(job)
    return fault
