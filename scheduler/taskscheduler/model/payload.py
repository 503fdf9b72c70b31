"""Encodes user data as BSON, and checks their size and depth."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import bson
from bson import CodecOptions, ObjectId
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from taskscheduler.errors import InvalidDataError, PayloadTooLargeError
from taskscheduler.model.document import Document

#: aware dates; DatetimeMS for dates beyond Python's datetime; UUIDs as every other driver stores them
CODEC: CodecOptions[Document] = CodecOptions(
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)

DEEPEST = 170  #: levels of nesting; MongoDB stores 180, of which the answers of some commands need a few

_DEEP = DEEPEST * 7  #: bytes; a smaller document cannot be nested so deeply

_PLAIN = frozenset({int, float, str, bool, bytes, type(None), ObjectId, datetime})

_ENVELOPE = 16 * 1024  #: bytes; all other fields of a new document take less


def encode(document: Document, max_payload: int) -> RawBSONDocument:
    """Encodes a job document; InvalidDataError if BSON cannot hold it, PayloadTooLargeError if it is too large."""
    try:
        raw = bson.encode(document, codec_options=CODEC)
    except (BSONError, OverflowError, TypeError, ValueError, RecursionError) as error:
        raise InvalidDataError(f"the data of job {document['class']} cannot be stored: {_reason(error)}") from error
    if not _is_plain(document["data"]):
        _check_readable(f"the data of job {document['class']}", raw)
    if len(raw) > _DEEP:
        check_depth(f"the data of job {document['class']}", document["data"])
    if len(raw) > max_payload:
        check_payload(f"the data of job {document['class']}", document["data"], max_payload)
    if len(raw) > max_payload + _ENVELOPE:
        raise PayloadTooLargeError(f"job {document['class']} takes {len(raw)} bytes, which is too large to store")
    return RawBSONDocument(raw)


def check_depth(what: str, value: Any) -> None:
    """Raises InvalidDataError if `value` is nested deeper than MongoDB stores: 180 levels less those around it."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise InvalidDataError(f"{what} is nested deeper than {DEEPEST} levels, which MongoDB does not store")
        inner = [one for one in level if isinstance(one, Mapping | list | tuple)]
        level = [item for one in inner for item in (one.values() if isinstance(one, Mapping) else one)]


def check_payload(what: str, value: Any, max_payload: int) -> None:
    """Raises PayloadTooLargeError if `value` takes more than `max_payload` bytes as BSON."""
    raw = bson.encode({"": value}, codec_options=CODEC)
    if not _is_plain(value):
        _check_readable(what, raw)
    size = len(raw) - len(bson.encode({}))
    if size > max_payload:
        raise PayloadTooLargeError(
            f"{what} takes {size} bytes, more than max_payload ({max_payload}); "
            "store it elsewhere and pass a reference, or raise the option max_payload"
        )


def _is_plain(value: Any) -> bool:
    """Whether a value is surely read back as it is, as most are; the look is quicker than reading it back."""
    if type(value) is dict:
        return all(type(one) in _PLAIN for one in value.values())
    return type(value) in _PLAIN


def _check_readable(what: str, raw: bytes) -> None:
    """Raises InvalidDataError for what BSON can hold but nobody can decode: a UUID of 3 bytes, a text in Latin-1."""
    try:
        bson.decode(raw, codec_options=CODEC)
    except BSONError as error:
        raise InvalidDataError(f"{what} could be stored but not read back: {error}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply or contains itself"
    return str(error)
