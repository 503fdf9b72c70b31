"""Reads claimed jobs back: only the fields that a node and its workers need, decoded as little as possible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from taskscheduler.model import lenient
from taskscheduler.model.payload import CODEC
from taskscheduler.store.lenient_reads import RAW

#: without `attempts` and `result`, which can be large
_FIELDS = (
    "class data attempt options retries lost hook parent series seq once async solo service suspect signalled "
    "schedule scheduled_at expires first_started limits sequence flow label joins soft feeds batch queue at trace "
    "priority"
)

READ_BACK = dict.fromkeys(_FIELDS.split(), 1)

_SMALL = 2048  #: bytes


class ClaimedJob(NamedTuple):
    """A claimed job: decoded for the node, and as the bytes that a worker gets."""

    job: Mapping[str, Any]
    raw: bytes


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
    """Decodes the documents of a server's answer, all at once if they are small and can be decoded."""
    documents = list(split_documents(batch))
    if max(map(len, documents), default=0) <= _SMALL:
        try:
            return list(map(ClaimedJob, bson.decode_all(batch, CODEC), documents))
        except BSONError:
            pass  # one of them; each of the others is as good as before
    return [decode(raw) for raw in documents]
