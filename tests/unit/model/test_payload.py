"""Which data can be stored: what BSON holds, within the limits of size and depth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.errors import InvalidDataError, PayloadTooLargeError
from taskscheduler.model.document import new_document
from taskscheduler.model.options import JobOptions
from taskscheduler.model.payload import CODEC, DEEPEST, encode, payload

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)
MIB = 1024 * 1024


def new(data: Any = None, **options: Any) -> dict[str, Any]:
    return new_document("mail", data, JobOptions.of(options), NOW)


def test_the_document_of_a_job_holds_nothing_but_bson() -> None:
    document = new({"x": 1}, at=timedelta(hours=1), interval=5, retry=-1)
    assert bson.decode(encode(document, MIB).raw, codec_options=CODEC) == document


def recursive_list() -> list[Any]:
    itself: list[Any] = []
    itself.append(itself)
    return itself


def recursive_dict() -> dict[str, Any]:
    itself: dict[str, Any] = {}
    itself["self"] = itself
    return itself


@table(
    "data",
    [
        object(),
        {"a": object()},
        {1: 2},
        {"a": [{None: 1}]},
        2**70,
        -(2**63) - 1,
        recursive_list(),
        recursive_dict(),
        "\ud800",
        {"\udfff": 1},
        {"a\0b": 1},
        lambda: None,
        1j,
    ],
)
def test_data_that_bson_cannot_hold_are_refused(data: Any) -> None:
    with pytest.raises(InvalidDataError, match=r"^the data of job mail cannot be stored: .") as caught:
        encode(new(data), MIB)
    assert isinstance(caught.value, ValueError)
    assert not isinstance(caught.value, PayloadTooLargeError)


@table(
    "data",
    [
        None,
        True,
        0,
        2**63 - 1,
        -(2**63),
        1.5,
        float("inf"),
        "ä\0",
        b"\0\xff",
        NOW,
        ObjectId(),
        UUID(int=5),
        {"$where": 1, "a.b": {"": []}},
        [1, "a", None, {"b": [1]}],
    ],
)
def test_data_that_bson_can_hold_come_back_equal(data: Any) -> None:
    assert bson.decode(encode(new(data), MIB).raw, codec_options=CODEC)["data"] == data


def test_data_that_are_too_large_are_refused_with_their_size_and_the_limit() -> None:
    with pytest.raises(PayloadTooLargeError, match=r"^the data of job mail takes 2005 bytes, more than max_payload"):
        payload("the data of job mail", "data", bytes(2000 - 2), 1024)
    with pytest.raises(PayloadTooLargeError) as caught:
        encode(new(bytes(2 * MIB)), MIB)
    assert "max_payload (1048576)" in str(caught.value)
    assert isinstance(caught.value, InvalidDataError)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_data_nested_deeper_than_mongodb_stores_are_refused() -> None:
    assert encode(new(nested(DEEPEST)), MIB)["class"] == "mail"
    with pytest.raises(InvalidDataError, match=rf"^the data of job mail is nested deeper than {DEEPEST} levels"):
        encode(new(nested(DEEPEST + 1)), MIB)
    with pytest.raises(InvalidDataError, match="is nested deeper"):
        encode(new({"a": ({"b": nested(DEEPEST - 2)},)}), MIB)


def test_data_just_within_the_limit_are_stored() -> None:
    overhead = len(bson.encode({"": b""})) - len(bson.encode({}))
    exactly = bytes(MIB - overhead)
    assert encode(new(exactly), MIB)["data"] == exactly
    with pytest.raises(PayloadTooLargeError):
        encode(new(exactly + b"x"), MIB)


def test_the_other_fields_of_a_job_do_not_count_as_its_data() -> None:
    payload("the data", "data", "x" * (1024 - 7), 1024)
    assert encode(new("x" * 1000, queue="q" * 120), 1024)["data"] == "x" * 1000
