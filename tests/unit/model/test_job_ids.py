"""Each id has one text, and that text names no other id."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from bson import DBRef, Int64, MinKey, ObjectId, Timestamp
from bson.decimal128 import Decimal128
from tests.support.tables import table

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.job_ids import id_of, id_text
from taskscheduler.model.lenient import Unreadable, decode

DIGITS = "6a5f01c2e26cf26c6d0ede69"
NO_TEXT: Any = decode(b"\x10\0\0\0\x02_id\0\x02\0\0\0\xff\0\0")["_id"]
NO_DATE: Any = decode(b"\x12\0\0\0\x09_id\0\xff\xff\xff\xff\xff\xff\xff\x7f\0")["_id"]

TEXTS: list[tuple[Any, str]] = [
    (ObjectId(DIGITS), DIGITS),
    (DIGITS, f'"{DIGITS}"'),
    ("report-7", '"report-7"'),
    ("", '""'),
    ("a/b\x7f\n\x1b€", r'"a\u002fb\u007f\n\u001b\u20ac"'),
    (7, '{"$numberInt": "7"}'),
    (Int64(12345678901), '{"$numberLong": "12345678901"}'),
    (7.5, "7.5"),
    (True, "true"),
    (None, "null"),
    (float("inf"), '{"$numberDouble": "Infinity"}'),
    (b"ab", '{"$binary": {"base64": "YWI=", "subType": "00"}}'),
    (UUID(int=7), '{"$binary": {"base64": "AAAAAAAAAAAAAAAAAAAABw==", "subType": "04"}}'),
    (Decimal128("7"), '{"$numberDecimal": "7"}'),
    ({"b": 1, "a": [{"c": Int64(2)}]}, '{"b": 1, "a": [{"c": 2}]}'),
    (datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC), '{"$date": "2026-01-02T03:04:05.006Z"}'),
    (MinKey(), '{"$minKey": 1}'),
    (Timestamp(4, 5), '{"$timestamp": {"t": 4, "i": 5}}'),
    (DBRef("jobs", 5), '{"$ref": "jobs", "$id": 5}'),
    (NO_DATE, '{"$date": {"$numberLong": "9223372036854775807"}}'),
    (NO_TEXT, '{"$bson": "10000000025f69640002000000ff0000"}'),
    ({"a": NO_TEXT}, '{"$bson": "18000000035f6964000e000000026100020000' + '00ff000000"}'),
]  # fmt: skip


@table(("job_id", "text"), TEXTS)
def test_a_text_names_the_id_that_it_is_of(job_id: Any, text: str) -> None:
    assert id_text(job_id) == text
    assert "/" not in text
    assert text.isprintable()
    found = id_of(text)
    assert found == job_id
    assert type(found) is type(job_id) or isinstance(job_id, Int64)


def test_what_extended_json_cannot_say_is_named_by_its_bytes() -> None:
    assert id_text(float("nan")).startswith('{"$bson"')  # which equals nothing
    assert isinstance(id_of(id_text(NO_TEXT)), Unreadable)
    assert isinstance(id_of(id_text({"a": NO_TEXT}))["a"], Unreadable)


def test_extended_json_names_an_object_id_as_well() -> None:
    assert id_of(f'{{"$oid": "{DIGITS}"}}') == id_of(DIGITS.upper()) == ObjectId(DIGITS)
    assert id_of('{"$uuid": "00000000-0000-0000-0000-000000000007"}') == UUID(int=7)


@table(
    "text",
    [
        "", "report-7", "{", '"', DIGITS[1:], f"{DIGITS}\n", "9" * 30, "[" * 5000, '"\\ud800"', '{"a\\u0000": 1}',
        '{"$oid": "x"}', '{"$date": []}', '{"$date": "soon"}', '{"$timestamp": 5}', '{"$numberDecimal": "x"}',
        '{"$numberLong": "x"}', '{"$binary": 5}', '{"$uuid": 7}', '{"$code": 5}', '{"$regularExpression": 4}',
        '{"$bson": "zz"}', '{"$bson": 5}', '{"$bson": "00"}', '{"$bson": "0500000000"}', '{"$bson": "ffffffff00"}',
    ],
)  # fmt: skip
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidOptionError, match="a job id must be an ObjectId, its 24 hexadecimal digits, or"):
        id_of(text)
