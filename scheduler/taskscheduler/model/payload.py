"""User data as BSON: codec, size, depth. Payload codecs and large payloads come here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
from bson import CodecOptions
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from taskscheduler.errors import InvalidDataError, PayloadTooLargeError
from taskscheduler.model.document import Document

#: aware dates, dates that Python has no datetime for as DatetimeMS, and UUIDs as every other driver stores them
CODEC: CodecOptions[Document] = CodecOptions(
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)

DEEPEST = 170  #: levels of nesting; MongoDB stores 180, and takes the answers of some commands for a few more

_DEEP = DEEPEST * 7  #: no document of fewer bytes is nested so deeply

_ENVELOPE = 16 * 1024  #: more than everything but the data ever takes in a new document


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
