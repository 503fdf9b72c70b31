"""Reads claimed jobs back: only the fields that a node and its workers need, decoded as little as possible."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import bson
from bson import ObjectId
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from bson.tz_util import utc

from taskscheduler.model import lenient
from taskscheduler.model.payload import CODEC
from taskscheduler.model.readable import fault_of_claimed
from taskscheduler.store.lenient_reads import RAW

#: without `attempts` and `result`, which can be large
_FIELDS = (
    "class data attempt options retries lost hook parent series seq once async solo service suspect signalled "
    "schedule scheduled_at expires first_started limits sequence flow label joins soft feeds batch queue at trace "
    "priority"
)

READ_BACK = dict.fromkeys(_FIELDS.split(), 1)

_SMALL = 2048  #: bytes

_FEW = 8  #: documents for which it does not pay to look for what they have in common

_MOST_PATTERNS = 4

_ID_ELEMENT, _DATE_ELEMENT, _DATA_NAME = b"\x07_id\0", b"\tat\0", b"data\0"

_ID_AT, _ID_END = 9, 21  #: where the id of a document begins and ends

_NOTHING, _DOCUMENT, _ARRAY = 0x0A, 0x03, 0x04  #: kinds of data that a pattern knows the length of

_DATA_NAME_END = 1 + len(_DATA_NAME)  #: behind the kind of the field

_SMALLEST = 5  #: bytes of an empty document

_UNLIKE, _LARGE = object(), object()  #: data that no pattern has, and such that is decoded when somebody asks

_EPOCH = datetime(1970, 1, 1, tzinfo=utc)

#: milliseconds since then of the dates that Python can represent
_FIRST_DATE, _LAST_DATE = -62_135_596_800_000, 253_402_300_799_999

_LENGTH, _MILLISECONDS = struct.Struct("<i"), struct.Struct("<q")


class ClaimedJob:
    """A claimed job: for the node, decoded when somebody asks, and as the bytes that a worker gets."""

    __slots__ = ("_data", "_job", "due", "id", "like", "raw")

    def __init__(
        self,
        job: Mapping[str, Any] | None,
        raw: bytes,
        like: Pattern | None = None,
        due: float | None = None,
        data: Any = None,
    ) -> None:
        """`job` may be None of one that is `like` others, which was `due` then and has such `data`."""
        self._job = job
        self._data = data
        self.raw = raw
        self.like = like
        self.due = due  #: unix time of its `at`; None if that has to be looked up
        self.id: Any = ObjectId(raw[_ID_AT:_ID_END]) if job is None else job["_id"]

    @property
    def job(self) -> Mapping[str, Any]:
        """The decoded job."""
        if self._job is None:
            self._job = self._decoded()
        return self._job

    def _decoded(self) -> Mapping[str, Any]:
        if self.like is None or self.due is None or self._data is _LARGE:
            return decode(self.raw).job
        at = _EPOCH + timedelta(milliseconds=round(self.due * 1000))
        return {**self.like.job, "_id": self.id, "at": at, "data": self._data}


class Pattern:
    """What claimed jobs have in common that differ in their ids, in when they were due and in their data alone.

    That is, the bytes of a sound job around these. BSON is read from the front, so the fields of a document with the
    same bytes in the same places are the same, and need not be decoded.
    """

    __slots__ = ("_at", "_data_at", "_head", "_middle", "_tail", "job")

    def __init__(self, job: Mapping[str, Any], head: bytes, middle: bytes, tail: bytes) -> None:
        self.job = job  #: one of them
        self._head, self._middle, self._tail = head, middle, tail
        self._at = _ID_END + len(head)
        self._data_at = self._at + _MILLISECONDS.size + len(middle)

    @classmethod
    def of(cls, job: Mapping[str, Any], raw: bytes) -> Pattern | None:
        """Returns the pattern of a job; None if it is not sound, or its fields are in another order."""
        names = list(job)
        if names[:1] != ["_id"] or "at" not in names or "data" not in names or fault_of_claimed(job) is not None:
            return None
        at, data = names.index("at"), names.index("data")
        head, middle, tail = (_elements(job, part) for part in (names[1:at], names[at + 1 : data], names[data + 1 :]))
        pattern = cls(job, head + _DATE_ELEMENT, middle, tail + b"\0")
        return pattern if pattern.read(raw) is not None else None

    def read(self, raw: bytes) -> ClaimedJob | None:
        """Returns a job that has this pattern; None if it has not."""
        data_at, end = self._data_at, len(raw) - len(self._tail)
        if (
            end <= data_at
            or not raw.startswith(_ID_ELEMENT, 4)
            or not raw.startswith(self._head, _ID_END)
            or not raw.startswith(self._middle, self._at + _MILLISECONDS.size)
            or not raw.endswith(self._tail)
            or not raw.startswith(_DATA_NAME, data_at + 1)
        ):
            return None
        data = _data_in(raw, data_at, end)
        (due,) = _MILLISECONDS.unpack_from(raw, self._at)
        if data is _UNLIKE or not _FIRST_DATE <= due <= _LAST_DATE:
            return None
        return ClaimedJob(None, raw, self, due / 1000, data)


def _data_in(raw: bytes, start: int, end: int) -> Any:
    """Decodes the field `data` that must be just there; if it is not, or cannot be decoded, it is UNLIKE."""
    kind, start = raw[start], start + _DATA_NAME_END
    if kind == _NOTHING or start + _SMALLEST > end:
        return None if kind == _NOTHING and start == end else _UNLIKE
    if (kind != _DOCUMENT and kind != _ARRAY) or start + _LENGTH.unpack_from(raw, start)[0] != end:
        return _UNLIKE
    if end - start > _SMALL:
        return _LARGE
    try:
        data = bson.decode(raw[start:end], CODEC)
    except (BSONError, RecursionError):
        return _UNLIKE
    return data if kind == _DOCUMENT else list(data.values())


def _elements(job: Mapping[str, Any], names: list[str]) -> bytes:
    """Returns these fields of a job as they are stored, one after the other."""
    return bson.encode({name: job[name] for name in names}, codec_options=CODEC)[4:-1]


def split_documents(batch: bytes) -> Iterator[bytes]:
    """Splits the bytes of a server's answer into its documents; each begins with its length."""
    start = 0
    while start < len(batch):
        end = start + int.from_bytes(batch[start : start + 4], "little")
        yield batch[start:end]
        start = end


def decode(raw: bytes) -> ClaimedJob:
    """Decodes a small document at once, which is quicker; of a large one later only the fields that are read."""
    if len(raw) <= _SMALL:
        return ClaimedJob(lenient.decode(raw), raw)
    job = RawBSONDocument(raw, RAW)
    try:
        job.get("_id")
    except BSONError:
        return ClaimedJob(lenient.decode(raw), raw)
    return ClaimedJob(job, raw)


def decode_batch(batch: bytes) -> list[ClaimedJob]:
    """Decodes the documents of a server's answer; of many that have a pattern in common, only the first."""
    documents = list(split_documents(batch))
    if len(documents) <= _FEW:
        return _decode_all(documents)
    found: list[ClaimedJob] = []
    patterns: list[Pattern] = []
    tries = 0
    for number, raw in enumerate(documents):
        for like in patterns:
            if (one := like.read(raw)) is not None:
                found.append(one)
                break
        else:
            if tries == _MOST_PATTERNS:
                return found + _decode_all(documents[number:])
            tries += 1
            first = decode(raw)
            if (pattern := Pattern.of(first.job, raw)) is not None:
                patterns.append(pattern)
                first = pattern.read(raw) or first
            found.append(first)
    return found


def _decode_all(documents: list[bytes]) -> list[ClaimedJob]:
    """Decodes these documents, all at once if they are small and can be decoded."""
    if max(map(len, documents), default=0) <= _SMALL:
        try:
            return list(map(ClaimedJob, bson.decode_all(b"".join(documents), CODEC), documents))
        except BSONError:
            pass  # one of them; each of the others is as good as before
    return [decode(raw) for raw in documents]
