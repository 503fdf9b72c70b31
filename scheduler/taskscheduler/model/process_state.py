"""ProcessState: a read-only view of a job document."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from bson import ObjectId

from taskscheduler.model.attempts.cost import cost_of
from taskscheduler.model.control.keys import CONTROL_FIELDS
from taskscheduler.model.job_ids import id_text
from taskscheduler.model.lifecycle import DEAD_LETTERS, QUEUED, Status
from taskscheduler.model.resumable.signals import entries_in
from taskscheduler.model.resumable.steps import steps_of
from taskscheduler.model.sound import is_count, sound, status_of

AddOutcome = Literal["created", "existing", "replaced", "debounced"]

_ATTEMPT_FIELDS = (
    *("claimed", "started", "ended", "node", "worker", "error"),
    *("wall", "cpu", "wait", "peak_memory", "exit_code", "signal"),
)


class ProcessState:
    """The state of one job as last read: its data and options, how far it is, and how it ended."""

    def __init__(self, document: Mapping[str, Any], outcome: AddOutcome | None = None) -> None:
        self._document = document
        self.outcome = outcome  #: the effect of add_job or add_job_once: created, existing, replaced or debounced

    @property
    def id(self) -> ObjectId:
        """The id; any value if somebody else has stored the job under one that is no ObjectId."""
        job_id: ObjectId = self._document["_id"]
        return job_id

    @property
    def id_text(self) -> str:
        """The id as a text, which each method and command takes: 24 hexadecimal digits.

        If somebody else has stored the job under an id that is no ObjectId, it is extended JSON, such as `"report-7"`
        with its quotes.
        """
        return id_text(self.id)

    @property
    def job(self) -> str:
        """The registered name of the job's class."""
        return str(self._document.get("class", ""))

    @property
    def data(self) -> Any:
        return self._document.get("data")

    @property
    def options(self) -> dict[str, Any]:
        """The job options with their stored values; `at` is a unix time, 0 if none was given."""
        return stored_options(self._document)

    @property
    def status(self) -> Status:
        return status_of(self._document)

    @property
    def progress(self) -> float:
        """Percent, 0.0 to 100.0."""
        return float(sound(self._document, "progress", 0))

    @property
    def message(self) -> str | None:
        """The last message of the job about its progress."""
        message: str | None = sound(self._document, "message")
        return message

    @property
    def result_value(self) -> Any:
        """The value that the job returned; None as long as it is not DONE."""
        return self._document.get("result")

    @property
    def error(self) -> dict[str, Any] | None:
        """The error of the last attempt: type, message, traceback, and exit_code or signal of a dead worker.

        `place` is the line of the job's own code at which it was raised, such as `mail.py:42 in Mail.start`.
        """
        return _error(self._document)

    @property
    def fingerprint(self) -> str | None:
        """What all jobs share that failed for good by the same mistake; None for a job that has not."""
        fingerprint: str | None = sound(self._document, "fingerprint")
        return fingerprint

    @property
    def reason(self) -> str | None:
        """The reason that somebody gave for cancelling it."""
        reason: str | None = sound(self._document, "reason")
        return reason

    @property
    def attempt(self) -> int:
        """The number of the current or last attempt; 0 before the first."""
        attempt: int = sound(self._document, "attempt", 0)
        return attempt

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """The attempts in order (the newest 20): attempt, claimed, started, ended, node, worker, status, error, costs.

        The status is None for one that was lost with its worker or node (`charged` if it counts), or handed back
        without an error (`reason` says why). It is POSTPONED for one that was snoozed, perhaps with a `reason`. The
        error is that of the very attempt: None for one that runs, succeeded or was cancelled. Where somebody had the
        job tried again, `retried` is the reason that he gave, and `data` what it ran with, if it got others.

        The costs: `wall`, `cpu` and `wait` (from when it was due to its start) in seconds, `peak_memory` in bytes, and
        `exit_code` or `signal` of a worker that died with it. Each is None if it is not known, or does not apply.
        """
        listed = sound(self._document, "attempts", [])
        earlier = [_attempt(one) for one in listed if isinstance(one, Mapping)]
        if self.started is None:
            return earlier
        # in any other status, the error in the document is that of an earlier attempt
        error = self.error if self.status in DEAD_LETTERS else None
        current = _attempt({**self._document, "error": error, "due": self._due})
        return [*earlier, {name: current[name] for name in ("attempt", "status", *_ATTEMPT_FIELDS)}]

    @property
    def snoozes(self) -> int:
        """How often the job has put itself off with `snooze`."""
        snoozes: int = sound(self._document, "snoozes", 0)
        return snoozes

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The steps, sleeps and waits that the job has come to, in order: name, kind, at, attempt.

        A step (`kind` "step") has its `result`, a "sleep" has `until`. A wait (kind "signal") has `until` if it has a
        limit, `came` and `timed_out`, and as `result` the value of the signal.
        """
        return steps_of(self._document)

    @property
    def signals(self) -> dict[str, Any]:
        """The values of the signals that the job was given, by their names; also those that it has not waited for."""
        entries = entries_in(self._document.get("signals"))
        return {one["name"]: one.get("value") for one in entries if one.get("timed_out") is not True}

    @property
    def expires(self) -> datetime | None:
        """By when a queued job has to begin, by its option `start_by` or, after a failure, `retry_for`; else None."""
        return _date(self._document, "expires") if self.status in QUEUED else None

    @property
    def worker(self) -> str | None:
        """The id of the worker that runs or ran the job; known seconds after its start, at its progress or end."""
        worker: str | None = sound(self._document, "worker")
        return worker

    @property
    def node(self) -> str | None:
        """The name of the node that runs or ran the job."""
        node: str | None = sound(self._document, "node")
        return node

    @property
    def batched(self) -> int | None:
        """How many jobs the last attempt ran together with, itself included; None for a job that runs by itself."""
        batched = self._document.get("batched")
        return batched if is_count(batched) else None

    @property
    def created(self) -> datetime | None:
        return _date(self._document, "created")

    @property
    def claimed(self) -> datetime | None:
        """When a node took the job for its current or last attempt."""
        return _date(self._document, "claimed")

    @property
    def started(self) -> datetime | None:
        """When its worker began the current or last attempt; until the first sign of life, when a node took the job."""
        return _date(self._document, "started")

    @property
    def ended(self) -> datetime | None:
        """When its last attempt ended in its worker, or when that was written if nobody else knows."""
        return _date(self._document, "ended")

    @property
    def wait_time(self) -> float | None:
        """The seconds from when the job was due to the start of its current or last attempt; None before that."""
        return _seconds(self._due, self.started)

    @property
    def _due(self) -> datetime | None:
        return max((date for date in (self.created, self.at) if date is not None), default=None)

    @property
    def run_time(self) -> float | None:
        """The seconds from the start to the end of its last attempt; None as long as it runs."""
        return _seconds(self.started, self.ended)

    @property
    def alive(self) -> datetime | None:
        """The last sign of life."""
        return _date(self._document, "alive")

    @property
    def at(self) -> datetime | None:
        """The time before which the job does not run."""
        at: datetime | None = sound(self._document, "parked_at", sound(self._document, "at"))
        return at

    @property
    def series(self) -> ObjectId | None:
        """The id of the first run of an interval, which all its runs share."""
        series: ObjectId | None = sound(self._document, "series")
        return series

    @property
    def schedule(self) -> str | None:
        """The name of the schedule that this is a run of."""
        schedule: str | None = sound(self._document, "schedule")
        return schedule

    @property
    def scheduled_at(self) -> datetime | None:
        """The time of the timetable that this run is for, in UTC, without jitter; that of a run by hand is when it was
        added.
        """
        scheduled_at: datetime | None = sound(self._document, "scheduled_at")
        return scheduled_at

    @property
    def parent(self) -> ObjectId | None:
        parent: ObjectId | None = sound(self._document, "parent")
        return parent

    @property
    def tags(self) -> list[str]:
        """The texts by which it can be found."""
        return [str(tag) for tag in sound(self._document, "tags", [])]

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that a tracked program has stored about itself."""
        return dict(sound(self._document, "fields", {}))

    @property
    def program(self) -> dict[str, Any] | None:
        """The program that keeps this record: host, pid, started, boot; None for a job that nodes run."""
        program: dict[str, Any] | None = sound(self._document, "program")
        return program

    def to_dict(self) -> dict[str, Any]:
        """Returns the stored document."""
        return dict(self._document)

    def replace(self, document: Mapping[str, Any]) -> None:
        """Takes over a newer state of the same job."""
        self._document = document

    @property
    def _key(self) -> ObjectId | str:
        """What names the job to the methods of a scheduler."""
        return self.id if isinstance(self.id, ObjectId) else self.id_text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id_text} {self.job} {self.status.label}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessState) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self._key)


def stored_options(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of a stored job by their names; `at` is a unix time, 0 if none was given."""
    placed = {name: document.get(name) for name in ("queue", "priority", "parent")}
    only = {name: document[name] for name in ("tags", *CONTROL_FIELDS) if name in document}
    return {**sound(document, "options", {}), **placed, **only}


def _date(document: Mapping[str, Any], name: str) -> datetime | None:
    date: datetime | None = sound(document, name)
    return date


def _error(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the error of a job or an attempt; a value that is none becomes the message of one."""
    error = document.get("error")
    if error is None or isinstance(error, dict):
        return error
    return {"type": "InvalidDocumentError", "message": str(error)}


def _attempt(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an entry in the list of attempts, of which a person or a program may rely on the types."""
    fields = {name: sound(entry, name) for name in ("claimed", "started", "ended", "node", "worker")}
    status = None if entry.get("status") is None else status_of(entry)
    known = {"attempt": sound(entry, "attempt", 0), "status": status, "error": _error(entry)}
    return {**entry, **fields, **known, **cost_of(entry, sound(entry, "due"))}


def _seconds(earlier: datetime | None, later: datetime | None) -> float | None:
    return None if earlier is None or later is None else max(0.0, (later - earlier).total_seconds())
