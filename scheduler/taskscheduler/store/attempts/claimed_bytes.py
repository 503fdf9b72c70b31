"""How the fields of a claimed job are stored that other jobs like it have otherwise: the bytes of its BSON."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import bson
from bson import ObjectId
from bson.errors import BSONError

from taskscheduler.model.payload import CODEC

SMALL = 2048  #: bytes

ID_ELEMENT, DATE_ELEMENT, DATA_NAME = b"\x07_id\0", b"\tat\0", b"data\0"

ID_AT, ID_END = 9, 21  #: where the id of a document begins and ends

_NO_DATA = b"\n"  #: the kind of data that are None

_NOTHING, _DOCUMENT, _ARRAY = 0x0A, 0x03, 0x04  #: kinds of data that a pattern knows the length of

_DATA_NAME_END = 1 + len(DATA_NAME)  #: behind the kind of the field

_SMALLEST = 5  #: bytes of an empty document

LABEL_NAME, JOINS_NAME = b"\x02label\0", b"\x04joins\0"

_ONE_ID = b"\x14\0\0\0\x070\0"  #: how an array of a single id begins

_ONE_ID_END = len(_ONE_ID) + 12  #: where that id ends

UNLIKE, LARGE = object(), object()  #: data that no pattern has, and such that is decoded when somebody asks

LENGTH, MILLISECONDS = struct.Struct("<i"), struct.Struct("<q")


def length_in(raw: bytes, start: int) -> int:
    """Returns the length that is stored there, whatever that is; there may be nothing."""
    return int.from_bytes(raw[start : start + LENGTH.size], "little")


def is_text(raw: bytes) -> bool:
    """Whether these bytes can be decoded."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def end_of_data(raw: bytes, start: int) -> int:
    """Returns where the field `data` ends that begins there, if it is one that a pattern knows the length of."""
    end = start + _DATA_NAME_END
    return end if raw[start : start + 1] == _NO_DATA else end + length_in(raw, end)


def ids_in(joins: bytes) -> tuple[ObjectId, ...] | None:
    """Returns the ids in an array; None if there is anything else in it."""
    if len(joins) == _ONE_ID_END + 1 and joins.startswith(_ONE_ID) and joins.endswith(b"\0"):
        return (ObjectId(joins[len(_ONE_ID) : _ONE_ID_END]),)
    try:
        found = tuple(bson.decode(joins, CODEC).values())
    except (BSONError, RecursionError):
        return None
    return found if all(isinstance(one, ObjectId) for one in found) else None


def data_in(raw: bytes, start: int, end: int) -> Any:
    """Decodes the field `data` that must be just there; if it is not, or cannot be decoded, it is UNLIKE."""
    kind, start = raw[start], start + _DATA_NAME_END
    if kind == _NOTHING or start + _SMALLEST > end:
        return None if kind == _NOTHING and start == end else UNLIKE
    if (kind != _DOCUMENT and kind != _ARRAY) or start + LENGTH.unpack_from(raw, start)[0] != end:
        return UNLIKE
    if end - start > SMALL:
        return LARGE
    try:
        data = bson.decode(raw[start:end], CODEC)
    except (BSONError, RecursionError):
        return UNLIKE
    return data if kind == _DOCUMENT else list(data.values())


def elements(job: Mapping[str, Any], names: list[str]) -> bytes:
    """Returns these fields of a job as they are stored, one after the other."""
    return bson.encode({name: job[name] for name in names}, codec_options=CODEC)[4:-1]
