"""The shape of a job document, and how a new one is built."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.options import At, JobOptions, latest_start

Document = dict[str, Any]

SCHEMA_VERSION = 1

#: the field `wake` of a job that was added in a transaction: it wakes the nodes for itself, or for others like it, too
COMMITTED, COMMITTED_MANY = "committed", "committed many"


@dataclass(frozen=True, slots=True)
class NewJob:
    """A complete, validated job that is not stored yet."""

    id: ObjectId
    document: Document
    raw: RawBSONDocument


def new_document(name: str, data: Any, options: JobOptions, now: datetime) -> Document:
    """Builds the document of a job that is added at `now`, in the server's time.

    InvalidOptionError if it would have to start before its time.
    """
    at = now + timedelta(seconds=options.debounce) if options.debounce else due(options.at, now)
    job_id = options.id or ObjectId()
    document: Document = {
        "_id": job_id,
        "class": name,
        "queue": options.queue,
        "priority": options.priority,
        "status": int(Status.POSTPONED if at > now else Status.WAITING),
        "at": at,
        "created": now,
        "started": None,
        "ended": None,
        "alive": now,
        "attempt": 0,
        "retries": 0,
        "lost": 0,
        "progress": 0.0,
        "worker": None,
        "data": data,
        "options": {"at": at.timestamp() if options.at else 0, **options.stored()},
        "v": SCHEMA_VERSION,
    }
    if options.interval:
        document["series"], document["seq"] = job_id, 0
    if options.parent is not None:
        document["parent"] = options.parent
    if options.start_by is not None:
        document["expires"] = _expires(options, at, now)
    if options.tags:
        document["tags"] = list(options.tags)
    return document


def _expires(options: JobOptions, at: datetime, now: datetime) -> datetime | None:
    expires = latest_start(options.start_by, now)
    if expires is not None and options.at and expires <= at:
        raise InvalidOptionError(
            f"option start_by ({expires:%Y-%m-%d %H:%M:%S} UTC) must be after option at ({at:%Y-%m-%d %H:%M:%S} UTC)"
        )
    return expires


def due(at: At, now: datetime) -> datetime:
    """Returns the date that the option `at` means; 0 means now."""
    if isinstance(at, timedelta):
        return now + at
    if isinstance(at, datetime):
        return at
    return datetime.fromtimestamp(at, UTC) if at else now
