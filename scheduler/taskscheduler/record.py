"""The shape of a job document: how a new one is built and which parts other code may name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from bson import CodecOptions, ObjectId
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from taskscheduler.errors import InvalidDataError, PayloadTooLargeError
from taskscheduler.lifecycle import Status
from taskscheduler.options import At, JobOptions
from taskscheduler.solo import make_solo

Document = dict[str, Any]

SCHEMA_VERSION = 1

#: aware dates, dates that Python has no datetime for as DatetimeMS, and UUIDs as every other driver stores them
CODEC: CodecOptions[Document] = CodecOptions(
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)

DEEPEST = 170  #: levels of nesting; MongoDB stores 180, and takes the answers of some commands for a few more
_DEEP = DEEPEST * 7  #: no document of fewer bytes is nested so deeply
_ENVELOPE = 16 * 1024  #: more than everything but the data ever takes in a new document


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is not stored yet, complete and validated."""

    id: ObjectId
    document: Document
    raw: RawBSONDocument


def new_document(name: str, data: Any, options: JobOptions, now: datetime) -> Document:
    """The document of a job added at `now` (the server's time)."""
    at = due(options.at, now)
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
    if options.tags:
        document["tags"] = list(options.tags)
    return document


def due(at: At, now: datetime) -> datetime:
    """The date that the option `at` stands for; 0 is now."""
    if isinstance(at, timedelta):
        return now + at
    if isinstance(at, datetime):
        return at
    return datetime.fromtimestamp(at, UTC) if at else now


def encode(document: Document, max_payload: int) -> RawBSONDocument:
    """The document as BSON; InvalidDataError if BSON cannot hold its data, PayloadTooLargeError if it is too large."""
    try:
        raw = bson.encode(document, codec_options=CODEC)
    except (BSONError, OverflowError, TypeError, ValueError, RecursionError) as error:
        raise InvalidDataError(f"the data of job {document['class']} cannot be stored: {_reason(error)}") from error
    if len(raw) > _DEEP:
        check_depth(f"the data of job {document['class']}", document["data"])
    if len(raw) > max_payload:
        check_payload(f"the data of job {document['class']}", document["data"], max_payload)
    if len(raw) > max_payload + _ENVELOPE:
        raise PayloadTooLargeError(f"job {document['class']} takes {len(raw)} bytes, which is too large to store")
    return RawBSONDocument(raw)


def check_depth(what: str, value: Any) -> None:
    """InvalidDataError if `value` is nested deeper than MongoDB stores (180 levels, less what stands around it)."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise InvalidDataError(f"{what} is nested deeper than {DEEPEST} levels, which MongoDB does not store")
        inner = [one for one in level if isinstance(one, Mapping | list | tuple)]
        level = [item for one in inner for item in (one.values() if isinstance(one, Mapping) else one)]


def check_payload(what: str, value: Any, max_payload: int) -> None:
    """PayloadTooLargeError if `value` takes more than `max_payload` bytes as BSON."""
    size = len(bson.encode({"": value}, codec_options=CODEC)) - len(bson.encode({}))
    if size > max_payload:
        raise PayloadTooLargeError(
            f"{what} takes {size} bytes, more than max_payload ({max_payload}); "
            "store it elsewhere and pass a reference, or raise the option max_payload"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply or contains itself"
    return str(error)


def canonical(value: Any) -> Any:
    """`value` with the keys of every mapping in order, so that equal data give equal bytes."""
    if isinstance(value, Mapping):
        return {key: canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return value


def once_key(name: str, data: Any, ignore_data: bool) -> str:
    """What makes two jobs the same for add_job_once: the name and, unless `ignore_data`, the data."""
    if ignore_data:
        return f"class:{name}"
    return f"data:{name}:{fingerprint(data)}"


def fingerprint(data: Any) -> str:
    """The same text for data that MongoDB stores as equal, whatever the order of their keys."""
    return hashlib.sha256(bson.encode({"": canonical(data)}, codec_options=CODEC)).hexdigest()


def stored_options(document: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a stored job by their names; `at` is a unix time, 0 if none was given."""
    placed = {name: document.get(name) for name in ("queue", "priority", "parent")}
    only = {name: document[name] for name in ("tags", "solo") if name in document}
    return {**document.get("options", {}), **placed, **only}


def successor_id(series: ObjectId, seq: int, planned: ObjectId) -> ObjectId:
    """The id of run `seq` of a series; it begins with the time of `planned`, as every id does, so that ids sort by age.

    The write that ends a run stores it with the plan, so whoever adds the next run adds it under this id.
    """
    unique = hashlib.sha256(series.binary + seq.to_bytes(8, "big")).digest()
    return ObjectId(planned.binary[:4] + unique[:8])


def successor(ended: Mapping[str, Any]) -> Document:
    """The document of the next run, from an ended job whose `next` was planned."""
    plan = ended["next"]
    at_once = ended["options"]["interval"] == -1
    fresh: Document = {
        "_id": plan["_id"],
        "status": int(Status.WAITING if at_once else Status.POSTPONED),
        "at": plan["at"],
        "created": plan["created"],
        "started": None,
        "ended": None,
        "alive": plan["created"],
        "attempt": 0,
        "retries": 0,
        "lost": 0,
        "progress": 0.0,
        "worker": None,
        "seq": ended["seq"] + 1,
    }
    kept = ("class", "queue", "priority", "data", "options", "series", "parent", "tags", "hook", "async", "v")
    fresh |= {name: ended[name] for name in kept if name in ended}
    if "solo" in ended:
        make_solo(fresh, ended["solo"], plan["created"])
    return fresh
