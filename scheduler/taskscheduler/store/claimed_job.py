"""Reads claimed jobs back: only the fields that a node and its workers need, decoded as little as possible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from taskscheduler.model.document import Document
from taskscheduler.model.payload import CODEC

#: without `attempts` and `result`, which can be large
_FIELDS = "class data attempt options retries lost hook parent series seq once async solo service"

READ_BACK = dict.fromkeys(_FIELDS.split(), 1)

_SMALL = 2048  #: bytes

RAW: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument,
    tz_aware=True,
    uuid_representation=CODEC.uuid_representation,
    datetime_conversion=CODEC.datetime_conversion,
)


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
    if len(raw) > _SMALL:
        return ClaimedJob(RawBSONDocument(raw, RAW), raw)
    job: Document = bson.decode(raw, CODEC)
    return ClaimedJob(job, raw)
