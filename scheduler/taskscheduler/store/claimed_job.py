"""Reads claimed jobs back: only the fields that a node and its workers need, decoded as little as possible."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import bson
from bson import ObjectId
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

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

_LENGTH, _MILLISECONDS = struct.Struct("<i"), struct.Struct("<q")


class ClaimedJob:
    """A claimed job: for the node, decoded when somebody asks, and as the bytes that a worker gets."""

    __slots__ = ("_job", "due", "id", "like", "raw")

    def __init__(
        self, job: Mapping[str, Any] | None, raw: bytes, like: Pattern | None = None, due: float | None = None
    ) -> None:
        """`job` may be None of one that is `like` others, which was `due` then."""
        self._job = job
        self.raw = raw
        self.like = like
        self.due = due  #: unix time of its `at`; None if that has to be looked up
        self.id: Any = ObjectId(raw[_ID_AT:_ID_END]) if job is None else job["_id"]

    @property
    def job(self) -> Mapping[str, Any]:
        """The decoded job."""
        if self._job is None:
            self._job = lenient.decode(self.raw)
        return self._job


class Pattern:
    """What claimed jobs have in common that differ in their ids, in when they were due and in their data alone.

    That is, the bytes of a sound job around these. BSON is read from the front, so the fields of a document with the
    same bytes in the same places are the same, and it need not be decoded.
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
        return pattern if pattern.due_of(raw) is not None else None

    def due_of(self, raw: bytes) -> float | None:
        """Returns when a job was due, a unix time, if it has this pattern; else None."""
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
        if not _is_data(raw, data_at, end):
            return None
        return float(_MILLISECONDS.unpack_from(raw, self._at)[0] / 1000)


def _is_data(raw: bytes, start: int, end: int) -> bool:
    """Whether there is just the field `data` there: nothing, or a document or array that can be decoded."""
    kind, start = raw[start], start + _DATA_NAME_END
    if kind == _NOTHING or start + _SMALLEST > end:
        return kind == _NOTHING and start == end
    if (kind != _DOCUMENT and kind != _ARRAY) or start + _LENGTH.unpack_from(raw, start)[0] != end:
        return False
    if not _SMALLEST < end - start <= _SMALL:
        return True  # that of large ones is left to their workers
    try:
        bson.decode(raw[start:end], CODEC)
    except (BSONError, RecursionError):
        return False
    return True


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
            if (due := like.due_of(raw)) is not None:
                found.append(ClaimedJob(None, raw, like, due))
                break
        else:
            if tries == _MOST_PATTERNS:
                return found + _decode_all(documents[number:])
            tries += 1
            one = decode(raw)
            if (pattern := Pattern.of(one.job, raw)) is not None:
                one.like, one.due = pattern, pattern.due_of(raw)
                patterns.append(pattern)
            found.append(one)
    return found


def _decode_all(documents: list[bytes]) -> list[ClaimedJob]:
    """Decodes these documents, all at once if they are small and can be decoded."""
    if max(map(len, documents), default=0) <= _SMALL:
        try:
            return list(map(ClaimedJob, bson.decode_all(b"".join(documents), CODEC), documents))
        except BSONError:
            pass  # one of them; each of the others is as good as before
    return [decode(raw) for raw in documents]
