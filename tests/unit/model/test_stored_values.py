"""The stored form of values that BSON does not know, and the place of those without one."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import bson
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex
from bson.raw_bson import RawBSONDocument
from pydantic import BaseModel
from tests.support.tables import table

from taskscheduler.errors import InvalidDataError
from taskscheduler.model.document import new_document
from taskscheduler.model.options import JobOptions
from taskscheduler.model.payload import CODEC, encode, payload
from taskscheduler.model.stored_values import bson_form
from taskscheduler.model.uniqueness import fingerprint

NOW = datetime(2030, 1, 1, tzinfo=UTC)
MIB = 1024 * 1024


class Color(enum.Enum):
    RED = "red"
    MIXED = ("red", Path("/x"))


class Level(enum.IntEnum):
    HIGH = 3


class Word(enum.StrEnum):
    YES = "yes"


class Flags(enum.Flag):
    A = enum.auto()
    B = enum.auto()


@dataclasses.dataclass
class Point:
    x: int
    seen: date
    more: list[Any] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Key:
    number: int


class Pair(NamedTuple):
    a: Any
    b: Any


class Model(BaseModel):
    where: Path
    price: Decimal
    points: set[int]


FORMS: list[tuple[Any, Any]] = [
    (Path("/x/y"), "/x/y"),
    (PurePosixPath("a"), "a"),
    (PureWindowsPath("c:\\a"), "c:\\a"),
    (Color.RED, "red"),
    (Color.MIXED, ["red", "/x"]),
    (Level.HIGH, 3),
    (Word.YES, "yes"),
    (Flags.A | Flags.B, 3),
    (Decimal("9.90"), Decimal128("9.90")),
    (date(2026, 11, 29), "2026-11-29"),
    (time(8, 30), "08:30:00"),
    (time(8, 30, tzinfo=UTC), "08:30:00+00:00"),
    (timedelta(minutes=1), 60),
    (timedelta(milliseconds=-1500), -1.5),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset({"b", "a"}), ["a", "b"]),
    ({Path("/b"), Path("/a")}, ["/a", "/b"]),
    ({frozenset({2, 1}), frozenset()}, [[], [1, 2]]),
    (set(), []),
    (Point(1, date(2026, 1, 2)), {"x": 1, "seen": "2026-01-02", "more": []}),
    (Pair(Path("/x"), 1), ["/x", 1]),
    (
        Model(where=Path("/x"), price=Decimal("1.5"), points={2, 1}),
        {"where": "/x", "price": Decimal128("1.5"), "points": [1, 2]},
    ),
    ({Color.RED: 1, Path("/x"): 2, date(2026, 1, 1): 3}, {"red": 1, "/x": 2, "2026-01-01": 3}),
    ([{"a": (Path("/x"), {"b": {Word.YES}})}], [{"a": ["/x", {"b": ["yes"]}]}]),
]


@table(("value", "form"), FORMS)
def test_values_have_a_stored_form_wherever_they_stand(value: Any, form: Any) -> None:
    for outer, stored in [(value, form), ({"a": value}, {"a": form}), ([1, {"a": [value]}], [1, {"a": [form]}])]:
        document = new_document("mail", outer, JobOptions(), NOW)
        assert bson.decode(encode(document, MIB).raw, codec_options=CODEC)["data"] == stored
        assert document["data"] == stored
        assert payload("the result", "result", outer, MIB) == stored
        assert fingerprint(outer) == fingerprint(stored)


@table(
    "value",
    [
        1,
        "x",
        None,
        NOW,
        ObjectId(),
        UUID(int=5),
        Decimal128("1"),
        Int64(5),
        Binary(b"x", 128),
        Regex("x"),
        {"a": [1, {"b": ["x"]}]},
        OrderedDict(a=1),
        MappingProxyType({"a": [1]}),
        [1, 2],
        Word,
    ],
)
def test_what_bson_knows_stays_as_it_is(value: Any) -> None:
    assert bson_form(value, "data") is value


class Secret:
    def __repr__(self) -> str:
        return "a secret"


FAULTS: list[tuple[Any, str]] = [
    (object(), "data is of type object, which has no stored form"),
    ({"p": 1j}, "data.p is of type complex, which has no stored form"),
    ({"a": [1, {"b": Secret()}]}, f"data.a[1].b is of type {__name__}.Secret, which has no stored form"),
    ({"a": {1, "x", 2j}}, "data.a[0] is of type complex"),
    ({"a": Point(1, Secret())}, f"data.a.seen is of type {__name__}.Secret"),  # type: ignore[arg-type]
    (Pair(1, range(3)), "data[1] is of type range"),
    ({"a": {1: 2}}, "data.a has the key 1, which is no text"),
    ({Key(1): 2}, "data has the key Key(number=1), which is no text"),
    ({"red": 1, Color.RED: 2}, "data has two keys that are stored as 'red'"),
    ({"a": [2**70]}, "data.a[0]: "),
    ({"a": {"\ud800": 1}}, "data.a: "),
    ({"b": "\ud800"}, "data.b: "),
    ({"a": {"b\0": 1}}, "data.a: "),
    ({"a": Decimal("1" * 40)}, "data.a is a Decimal of more than 34 digits or too large; give it as a text"),
    ({"a": Path("/x"), "b": [len]}, "data.b[0] is of type builtin_function_or_method"),
    ({"a": Word}, "data.a is of type enum.EnumType, which has no stored form"),
    ({"p": Path("/x"), "q": Point}, "data.q is of type type"),
]


@table(("value", "what"), FAULTS)
def test_the_error_names_the_place_of_what_cannot_be_stored(value: Any, what: str) -> None:
    with pytest.raises(InvalidDataError) as caught:
        encode(new_document("mail", value, JobOptions(), NOW), MIB)
    assert str(caught.value).startswith(f"the data of job mail cannot be stored: {what}")
    with pytest.raises(InvalidDataError) as caught:
        payload("the result", "data", value, MIB)
    assert str(caught.value).startswith(f"the result cannot be stored: {what}")


LATIN_1 = RawBSONDocument(bson.encode({"x": "caf?"}).replace(b"?", b"\xe9"))


@table(
    ("value", "place"),
    [
        ({"a": [1, Binary(b"abc", 4)]}, "data.a[1]"),
        ({"a": [LATIN_1]}, "data.a[0]"),
        (LATIN_1, "data"),
        ({"a": Path("/x"), "b": LATIN_1}, "data.b"),
    ],
)
def test_the_error_names_the_place_of_what_cannot_be_read_back(value: Any, place: str) -> None:
    with pytest.raises(InvalidDataError, match=rf"could be stored but not read back: {re.escape(place)}: "):
        encode(new_document("mail", value, JobOptions(), NOW), MIB)


def test_an_error_of_the_values_own_code_is_told() -> None:
    class Broken:
        model_validate = None

        @classmethod
        def model_dump(cls) -> Any:
            raise KeyError("no value")

    Broken.model_validate = Broken.model_dump  # type: ignore[assignment]
    with pytest.raises(InvalidDataError, match="cannot be stored: KeyError: 'no value'"):
        payload("the result", "result", Broken(), MIB)
