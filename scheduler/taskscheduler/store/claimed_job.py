"""Reads claimed jobs back: only the fields that a node and its workers need, decoded as little as possible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import bson
from bson import ObjectId
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from bson.tz_util import utc

from taskscheduler.model import lenient
from taskscheduler.model.flows.membership import Membership, membership_of
from taskscheduler.model.payload import CODEC
from taskscheduler.model.readable import fault_of_claimed
from taskscheduler.store.attempts.claimed_bytes import (
    DATA_NAME,
    DATE_ELEMENT,
    ID_AT,
    ID_ELEMENT,
    ID_END,
    JOINS_NAME,
    LABEL_NAME,
    LARGE,
    LENGTH,
    MILLISECONDS,
    SMALL,
    UNLIKE,
    data_in,
    elements,
    end_of_data,
    ids_in,
    is_text,
    length_in,
)
from taskscheduler.store.lenient_reads import RAW

#: without `attempts` and `result`, which can be large
_FIELDS = (
    "class data attempt options retries lost hook parent series seq once async solo service suspect signalled "
    "schedule scheduled_at expires first_started limits sequence flow label joins soft feeds batch queue at trace "
    "priority"
)

READ_BACK = dict.fromkeys(_FIELDS.split(), 1)

_FEW = 8  #: documents for which it does not pay to look for what they have in common

_MOST_PATTERNS = 4

_EPOCH = datetime(1970, 1, 1, tzinfo=utc)

#: milliseconds since then of the dates that Python can represent
_FIRST_DATE, _LAST_DATE = -62_135_596_800_000, 253_402_300_799_999


class ClaimedJob:
    """A claimed job: for the node, decoded when somebody asks, and as the bytes that a worker gets."""

    __slots__ = ("_data", "_job", "_member", "due", "id", "like", "raw")

    def __init__(
        self,
        job: Mapping[str, Any] | None,
        raw: bytes,
        like: Pattern | None = None,
        due: float | None = None,
        data: Any = None,
        member: Membership | None = None,
    ) -> None:
        """`job` may be None of one that is `like` others, which was `due` then and has such `data`."""
        self._job = job
        self._data = data
        self.raw = raw
        self.like = like
        self.due = due  #: unix time of its `at`; None if that has to be looked up
        self._member = member
        self.id: Any = ObjectId(raw[ID_AT:ID_END]) if job is None else job["_id"]

    @property
    def job(self) -> Mapping[str, Any]:
        """The decoded job."""
        if self._job is None:
            self._job = self._decoded()
        return self._job

    @property
    def member(self) -> Membership | None:
        """What its end means for its flow, if it belongs to one."""
        return membership_of(self.job) if self.like is None else self._member

    def _decoded(self) -> Mapping[str, Any]:
        if self.like is None or self.due is None or self._data is LARGE or self._member is not None:
            return decode(self.raw).job
        at = _EPOCH + timedelta(milliseconds=round(self.due * 1000))
        return {**self.like.job, "_id": self.id, "at": at, "data": self._data}


class Pattern:
    """What claimed jobs have in common that differ in their ids, in when they were due and in their data alone.

    That is, the bytes of a sound job around these. BSON is read from the front, so the fields of a document with the
    same bytes in the same places are the same, and need not be decoded.
    """

    __slots__ = ("_at", "_data_at", "_head", "_middle", "_tail", "job")

    def __init__(self, job: Mapping[str, Any], names: list[str]) -> None:
        """`names` are those of its fields, in their order."""
        at, data = names.index("at"), names.index("data")
        self.job = job  #: one of them
        self._head = elements(job, names[1:at]) + DATE_ELEMENT
        self._middle = elements(job, names[at + 1 : data])
        self._tail = elements(job, names[data + 1 :]) + b"\0"
        self._at = ID_END + len(self._head)
        self._data_at = self._at + MILLISECONDS.size + len(self._middle)

    @staticmethod
    def of(job: Mapping[str, Any], raw: bytes) -> Pattern | None:
        """Returns the pattern of a job; None if it is not sound, or its fields are in another order."""
        names = list(job)
        varied = ("_id", "at", "data", *(("label", "joins") if "flow" in job else ()))
        if names[:1] != ["_id"] or [name for name in names if name in varied] != [*varied]:
            return None
        if fault_of_claimed(job) is not None:
            return None
        pattern = FlowPattern(job, names) if "flow" in job else Pattern(job, names)
        return pattern if pattern.read(raw) is not None else None

    def read(self, raw: bytes) -> ClaimedJob | None:
        """Returns a job that has this pattern; None if it has not."""
        data_at, end = self._data_at, len(raw) - len(self._tail)
        if end <= data_at or not raw.endswith(self._tail):
            return None
        return self._with_data(raw, data_at, end, None)

    def _with_data(self, raw: bytes, data_at: int, end: int, member: Membership | None) -> ClaimedJob | None:
        """Returns a job whose data are there, if it is the same before them."""
        if (
            not raw.startswith(ID_ELEMENT, 4)
            or not raw.startswith(self._head, ID_END)
            or not raw.startswith(self._middle, self._at + MILLISECONDS.size)
            or not raw.startswith(DATA_NAME, data_at + 1)
        ):
            return None
        data = data_in(raw, data_at, end)
        (due,) = MILLISECONDS.unpack_from(raw, self._at)
        if data is UNLIKE or not _FIRST_DATE <= due <= _LAST_DATE:
            return None
        return ClaimedJob(None, raw, self, due / 1000, data, member)


class FlowPattern(Pattern):
    """What jobs of a flow have in common; they differ in their labels and in their joins besides."""

    __slots__ = ("_behind_data", "_behind_joins", "_behind_label", "_known", "_member")

    def __init__(self, job: Mapping[str, Any], names: list[str]) -> None:
        super().__init__(job, names)
        data, label, joins = names.index("data"), names.index("label"), names.index("joins")
        self._behind_data = elements(job, names[data + 1 : label]) + LABEL_NAME
        self._behind_label = b"\0" + elements(job, names[label + 1 : joins]) + JOINS_NAME
        self._behind_joins = elements(job, names[joins + 1 :]) + b"\0"
        self._member = membership_of(job)
        self._known: dict[bytes, Membership] = {}  #: by joins: jobs of a layer have the same ones

    def read(self, raw: bytes) -> ClaimedJob | None:
        """Returns a job that has this pattern; None if it has not."""
        data_end = end_of_data(raw, self._data_at)
        if not raw.startswith(self._behind_data, data_end) or not raw.endswith(self._behind_joins):
            return None
        label_at = data_end + len(self._behind_data) + LENGTH.size
        label_end = label_at + length_in(raw, label_at - LENGTH.size) - 1
        joins_at, joins_end = label_end + len(self._behind_label), len(raw) - len(self._behind_joins)
        if (
            label_end < label_at
            or not raw.startswith(self._behind_label, label_end)
            or joins_at + length_in(raw, joins_at) != joins_end
            or not is_text(raw[label_at:label_end])
        ):
            return None
        joins = raw[joins_at:joins_end]
        member = self._known.get(joins) or self._of(joins)
        return None if member is None else self._with_data(raw, self._data_at, data_end, member)

    def _of(self, joins: bytes) -> Membership | None:
        """Returns the membership of a job with these joins, as they are stored; None if they are odd."""
        ids, like = ids_in(joins), self._member
        if ids is None or like is None:
            return None
        member = self._known[joins] = Membership(like.flow, ids, like.soft, like.feeds, len(ids))
        return member


def split_documents(batch: bytes) -> Iterator[bytes]:
    """Splits the bytes of a server's answer into its documents; each begins with its length."""
    start = 0
    while start < len(batch):
        end = start + int.from_bytes(batch[start : start + 4], "little")
        yield batch[start:end]
        start = end


def decode(raw: bytes) -> ClaimedJob:
    """Decodes a small document at once, which is quicker; of a large one later only the fields that are read."""
    if len(raw) <= SMALL:
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
    if max(map(len, documents), default=0) <= SMALL:
        try:
            return list(map(ClaimedJob, bson.decode_all(b"".join(documents), CODEC), documents))
        except BSONError:
            pass  # one of them; each of the others is as good as before
    return [decode(raw) for raw in documents]
