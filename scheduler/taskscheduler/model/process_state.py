"""ProcessState: a read-only view of a job document."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from bson import ObjectId

from taskscheduler.model.lifecycle import Status

AddOutcome = Literal["created", "existing", "replaced"]

_ATTEMPT_FIELDS = ("started", "ended", "node", "worker")

#: statuses with an error of the attempt itself; in any other one, the error in the document is of an earlier attempt
_FAULTY = (Status.FAILED, Status.TIMEOUT)


class ProcessState:
    """The state of one job as last read: its data and options, how far it is, and how it ended."""

    def __init__(self, document: Mapping[str, Any], outcome: AddOutcome | None = None) -> None:
        self._document = document
        self.outcome = outcome  #: the effect of add_job or add_job_once: created, existing or replaced

    @property
    def id(self) -> ObjectId:
        job_id: ObjectId = self._document["_id"]
        return job_id

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
        return Status(self._document.get("status", -1))

    @property
    def progress(self) -> float:
        """Percent, 0.0 to 100.0."""
        progress = self._document.get("progress", 0.0)
        return float(progress) if isinstance(progress, int | float) else 0.0

    @property
    def message(self) -> str | None:
        """The last message of the job about its progress."""
        message = self._document.get("message")
        return message if isinstance(message, str) else None

    @property
    def result_value(self) -> Any:
        """The value that the job returned; None as long as it is not DONE."""
        return self._document.get("result")

    @property
    def error(self) -> dict[str, Any] | None:
        """The error of the last attempt: type, message, traceback, and exit_code or signal of a dead worker."""
        error = self._document.get("error")
        return (
            error
            if error is None or isinstance(error, dict)
            else {"type": "InvalidDocumentError", "message": str(error)}
        )

    @property
    def attempt(self) -> int:
        """The number of the current or last attempt; 0 before the first."""
        attempt = self._document.get("attempt", 0)
        return attempt if isinstance(attempt, int) else 0

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """The attempts in order (the newest 20): attempt, started, ended, node, worker, status, error.

        The status is None for one that was lost with its worker or node, or handed back without an error. The error is
        that of the very attempt: None for one that runs, succeeded or was cancelled.
        """
        earlier = [
            {**one, "status": None if one.get("status") is None else Status(one["status"])}
            for one in _list(self._document.get("attempts"))
            if isinstance(one, Mapping)
        ]
        if self._document.get("started") is None:
            return earlier
        current = {name: self._document.get(name) for name in _ATTEMPT_FIELDS}
        current["error"] = self.error if self.status in _FAULTY else None
        return [*earlier, {"attempt": self.attempt, "status": self.status, **current}]

    @property
    def worker(self) -> str | None:
        """The id of the worker that runs or ran the job; known seconds after its start, at its progress or end."""
        return self._document.get("worker")

    @property
    def node(self) -> str | None:
        """The name of the node that runs or ran the job."""
        return self._document.get("node")

    @property
    def created(self) -> datetime | None:
        return _date(self._document.get("created"))

    @property
    def started(self) -> datetime | None:
        return _date(self._document.get("started"))

    @property
    def ended(self) -> datetime | None:
        return _date(self._document.get("ended"))

    @property
    def alive(self) -> datetime | None:
        """The last sign of life."""
        return _date(self._document.get("alive"))

    @property
    def at(self) -> datetime | None:
        """The time before which the job does not run."""
        return _date(self._document.get("parked_at", self._document.get("at")))

    @property
    def series(self) -> ObjectId | None:
        """The id of the first run of an interval, which all its runs share."""
        return self._document.get("series")

    @property
    def parent(self) -> ObjectId | None:
        return self._document.get("parent")

    @property
    def tags(self) -> list[str]:
        """The texts by which it can be found."""
        tags = self._document.get("tags", ())
        return [str(tag) for tag in tags] if isinstance(tags, list | tuple) else []

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that a tracked program has stored about itself."""
        return dict(_mapping(self._document.get("fields")))

    @property
    def program(self) -> dict[str, Any] | None:
        """The program that keeps this record: host, pid, started, boot; None for a job that nodes run."""
        return self._document.get("program")

    def to_dict(self) -> dict[str, Any]:
        """Returns the stored document."""
        return dict(self._document)

    def replace(self, document: Mapping[str, Any]) -> None:
        """Takes over a newer state of the same job."""
        self._document = document

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.job} {self.status.label}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessState) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)


def stored_options(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of a stored job by their names; `at` is a unix time, 0 if none was given."""
    placed = {name: document.get(name) for name in ("queue", "priority", "parent")}
    only = {name: document[name] for name in ("tags", "solo") if name in document}
    return {**_mapping(document.get("options")), **placed, **only}


def _mapping(value: Any) -> Mapping[str, Any]:
    """Returns a stored value if it is what it should be, as all of these do: anybody may have written it."""
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _date(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None
