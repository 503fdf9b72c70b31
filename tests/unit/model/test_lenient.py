"""Documents that the driver refuses are decoded as far as that is possible, and the first fault is named."""

from __future__ import annotations

from typing import Any

import bson
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.raw_bson import RawBSONDocument
from hypothesis import given
from hypothesis import strategies as st
from tests.support.tables import table

from taskscheduler.model.lenient import Unreadable, UnreadableDocument, as_stored, decode, smallest_name
from taskscheduler.model.payload import CODEC

NO_UUID = Binary(b"no uuid", 4)

LATIN_1 = RawBSONDocument(bson.encode({"text": "caf#"}).replace(b"#", b"\xe9"))

EVERY_TYPE: dict[str, Any] = {
    "double": 1.5,
    "text": "é",
    "document": {"a": {"b": 1}},
    "list": [1, [2], {"c": 3}],
    "binary": b"\0\1",
    "old uuid": Binary(b"x" * 16, 3),
    "id": ObjectId(),
    "boolean": True,
    "date": DatetimeMS(2**62),
    "none": None,
    "pattern": Regex("a.b", "i"),
    "reference": DBRef("a", 1),
    "code": Code("x"),
    "scoped": Code("x", {"y": 1}),
    "small": 7,
    "time": Timestamp(1, 2),
    "large": Int64(2**40),
    "decimal": Decimal128("1.5"),
    "least": MinKey(),
    "most": MaxKey(),
}


def raw_of(document: dict[str, Any]) -> bytes:
    return bson.encode(document, codec_options=CODEC)


def test_what_the_driver_decodes_is_an_ordinary_document() -> None:
    raw = raw_of(EVERY_TYPE)
    assert type(decode(raw)) is dict
    assert raw_of(decode(raw)) == raw


def test_every_type_beside_a_fault_is_as_the_driver_has_it() -> None:
    found = decode(raw_of({**EVERY_TYPE, "bad": NO_UUID}))
    assert isinstance(found.pop("bad"), Unreadable)
    assert found == bson.decode(raw_of(EVERY_TYPE), CODEC)


@table(
    ("document", "place"),
    [
        ({"a": NO_UUID}, "a"),
        ({"a": 1, "b": {"c": NO_UUID}}, "b.c"),
        ({"a": [1, NO_UUID]}, "a.1"),
        ({"a": [{"b": LATIN_1}]}, "a.0.b.text"),
        ({"a": NO_UUID, "b": LATIN_1}, "a"),
    ],
)
def test_the_place_of_the_first_fault_is_named(document: dict[str, Any], place: str) -> None:
    found = decode(raw_of(document))
    assert isinstance(found, UnreadableDocument)
    assert found.place == place
    assert "decode" in found.reason
    assert list(found) == list(document)


def test_only_what_cannot_be_decoded_is_unreadable() -> None:
    found = decode(raw_of({"a": {"b": NO_UUID, "c": 2}, "d": [LATIN_1, 4]}))
    assert (found["a"]["c"], found["d"][1]) == (2, 4)
    assert str(found["a"]["b"]).startswith("(unreadable: ")


@given(st.binary(max_size=200))
def test_no_bytes_raise(noise: bytes) -> None:
    decode(noise)
    decode((len(noise) + 5).to_bytes(4, "little") + noise + b"\0")


@given(st.integers(4, 150), st.integers(0, 255))
def test_no_byte_that_is_wrong_raises(place: int, value: int) -> None:
    raw = bytearray(raw_of({**EVERY_TYPE, "bad": NO_UUID}))
    raw[place] = value
    decode(bytes(raw))


def test_what_cannot_be_decoded_is_asked_for_as_it_is_stored() -> None:
    raw = raw_of({"a": NO_UUID, "b": {"c": LATIN_1}, "d": [1, NO_UUID], "e": 5})
    found = decode(raw)
    assert bytes(as_stored(found).raw) == raw  # type: ignore[attr-defined]
    query = as_stored({"x": {"$in": [found["a"], 1]}, "y": 2})
    assert bytes(query.raw) == raw_of({"x": {"$in": [NO_UUID, 1]}, "y": 2})  # type: ignore[attr-defined]


def test_an_ordinary_query_stays_as_it_is() -> None:
    query = {"a": {"$in": ["b", 1]}, "c": None}
    assert as_stored(query) is query


@table(
    ("value", "after", "name"),
    [("b", "a", "b"), (["z", "c", 5], "a", "c"), (["a", "c"], "a", "c"), ([5], "a", None), (5, "a", None)],
)
def test_a_list_of_names_is_found_by_its_items(value: Any, after: str, name: str | None) -> None:
    assert smallest_name(value, after) == name
