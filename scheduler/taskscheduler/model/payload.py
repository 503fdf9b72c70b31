"""Encodes user data as BSON, and checks their size and depth."""

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
from taskscheduler.model.stored_values import PLAIN, bson_form, fault_in

#: aware dates; DatetimeMS for dates beyond Python's datetime; UUIDs as every other driver stores them
CODEC: CodecOptions[Document] = CodecOptions(
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)

DEEPEST = 170  #: levels of nesting; MongoDB stores 180, of which the answers of some commands need a few

_DEEP = DEEPEST * 7  #: bytes; a smaller document cannot be nested so deeply

#: what encoding raises for values that BSON cannot hold
UNENCODABLE = (BSONError, OverflowError, TypeError, ValueError, RecursionError)

_EMPTY = len(bson.encode({}))

_ENVELOPE = 16 * 1024  #: bytes; all other fields of a new document take less


def encode(document: Document, max_payload: int) -> RawBSONDocument:
    """Encodes a job document, and puts the stored form of its data into it where they have another one.

    InvalidDataError if they have none, PayloadTooLargeError if they are too large.
    """
    what = f"the data of job {document['class']}"
    try:
        raw = bson.encode(document, codec_options=CODEC)
    except UNENCODABLE as error:
        raw = _encoded_again(what, document, error)
    if not _is_plain(document["data"]):
        _check_readable(what, "data", document["data"], raw)
    if len(raw) > _DEEP:
        check_depth(what, document["data"])
    if len(raw) > max_payload:
        _check_size(what, encoded(document["data"]), max_payload)
    if len(raw) > max_payload + _ENVELOPE:
        raise PayloadTooLargeError(f"job {document['class']} takes {len(raw)} bytes, which is too large to store")
    return RawBSONDocument(raw)


def as_stored(document: Mapping[str, Any]) -> Document:
    """Returns a document as the database would give it back: texts for enums, dates in milliseconds. BSON's errors."""
    return bson.decode(bson.encode(document, codec_options=CODEC), codec_options=CODEC)


def check_depth(what: str, value: Any) -> None:
    """Raises InvalidDataError if `value` is nested deeper than MongoDB stores: 180 levels less those around it."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise InvalidDataError(f"{what} is nested deeper than {DEEPEST} levels, which MongoDB does not store")
        inner = [one for one in level if isinstance(one, Mapping | list | tuple)]
        level = [item for one in inner for item in (one.values() if isinstance(one, Mapping) else one)]


def payload(what: str, place: str, value: Any, max_payload: int) -> Any:
    """Returns a value in its stored form. InvalidDataError, PayloadTooLargeError: more than `max_payload` bytes."""
    try:
        raw = encoded(value)
    except UNENCODABLE:
        value = stored_form(what, place, value)
        raw = encoded(value)
    if not _is_plain(value):
        _check_readable(what, place, value, raw)
    check_depth(what, value)
    _check_size(what, raw, max_payload)
    return value


def stored_form(what: str, place: str, value: Any) -> Any:
    """Returns the stored form of a value, which can be encoded; InvalidDataError names the place of what has none."""
    try:
        value = bson_form(value, place)
    except RecursionError as error:
        raise InvalidDataError(f"{what} cannot be stored: it is nested too deeply or contains itself") from error
    except InvalidDataError as error:
        raise InvalidDataError(f"{what} cannot be stored: {error}") from None
    except Exception as error:  # code of the application: a model, a property
        raise InvalidDataError(f"{what} cannot be stored: {type(error).__name__}: {error}") from error
    try:
        encoded(value)
    except UNENCODABLE as error:
        raise InvalidDataError(f"{what} cannot be stored: {fault_in(value, place, encoded)}") from error
    return value


def _encoded_again(what: str, document: Document, error: Exception) -> bytes:
    document["data"] = stored_form(what, "data", document["data"])
    try:
        return bson.encode(document, codec_options=CODEC)
    except UNENCODABLE:  # it was not the data
        raise InvalidDataError(f"job {document['class']} cannot be stored: {error}") from error


def encoded(value: Any) -> bytes:
    """Returns a value as BSON, in a document of its own."""
    return bson.encode({"": value}, codec_options=CODEC)


def _check_size(what: str, raw: bytes, max_payload: int) -> None:
    size = len(raw) - _EMPTY
    if size > max_payload:
        raise PayloadTooLargeError(
            f"{what} takes {size} bytes, more than max_payload ({max_payload}); "
            "store it elsewhere and pass a reference, or raise the option max_payload"
        )


def payload_size(value: Any) -> int:
    """Returns the bytes that a value takes as BSON, as `max_payload` counts them. Raises BSONError."""
    return len(encoded(value)) - _EMPTY


def _is_plain(value: Any) -> bool:
    """Whether a value is surely read back as it is, as most are; the look is quicker than reading it back."""
    if type(value) is dict:
        return all(type(one) in PLAIN for one in value.values())
    return type(value) in PLAIN


def _check_readable(what: str, place: str, value: Any, raw: bytes) -> None:
    """Raises InvalidDataError for what BSON can hold but nobody can decode: a UUID of 3 bytes, a text in Latin-1."""
    try:
        bson.decode(raw, codec_options=CODEC)
    except BSONError as error:
        fault = fault_in(value, place, lambda part: bson.decode(encoded(part), codec_options=CODEC))
        raise InvalidDataError(f"{what} could be stored but not read back: {fault}") from error
