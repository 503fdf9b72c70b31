"""What annotations demand of a stored value: types with a stored form are judged, anything else is let pass."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, NotRequired, Optional, TypedDict, TypeVar, Union

from bson import Decimal128, Int64, ObjectId
from tests.support.tables import table
from typing_extensions import TypeAliasType

from taskscheduler.declarations.type_checks import check_of

NOW = datetime(2030, 1, 1, tzinfo=UTC)
T = TypeVar("T")
UserId = NewType("UserId", int)


class Color(enum.Enum):
    RED = "red"


class Address(TypedDict):
    city: str
    zip: NotRequired[int]


class Parcel(TypedDict, total=False):
    to: Address
    weights: list[float]


FITTING: list[tuple[Any, Any]] = [
    (int, 1),
    (int, Int64(2**40)),
    (float, 1),
    (float, 1.5),
    (str, ""),
    (bytes, b"x"),
    (bool, True),
    (datetime, NOW),
    (ObjectId, ObjectId()),
    (None, None),
    (Optional[int], None),  # noqa: UP045
    (int | None, 5),
    (Union[int, str], "x"),  # noqa: UP007
    (list, [1, "x"]),
    (list[int], [1, 2]),
    (list[int], (1, 2)),
    (list[int], []),
    (tuple[int, str], [1, "x"]),
    (Sequence[str], "text"),
    (Sequence[str], ["a"]),
    (dict, {"a": 1}),
    (dict[str, int], {"a": 1}),
    (Mapping[str, list[int]], {"a": [1]}),
    (Literal["a", 1], 1),
    (Literal["a", None], None),
    (UserId, 5),
    (Annotated[int, "positive"], 5),
    (Address, {"city": "Bern"}),
    (Address, {"city": "Bern", "zip": 3000}),
    (Parcel, {}),
    (Parcel, {"to": {"city": "Bern"}, "weights": [1, 2.5]}),
    (Path, "/x"),
    (Color, "red"),
    (set[int], [1, 2]),
    (frozenset, [1, "x"]),
    (date | None, "2026-11-29"),
    (date, NOW),
    (time, "08:30"),
    (timedelta, 1.5),
    (Decimal, Decimal128("9.90")),
    (Decimal, 9.9),
    (Decimal, "9.90"),
    (list[Path | int], ["/x", 1]),
]

WRONG: list[tuple[Any, Any, str]] = [
    (int, "5", "x must be int, not str"),
    (int, True, "x must be int, not bool"),
    (int, 1.0, "x must be int, not float"),
    (int, None, "x must be int, not NoneType"),
    (float, True, "x must be float, not bool"),
    (float, "1", "x must be float, not str"),
    (bool, 1, "x must be bool, not int"),
    (str, b"x", "x must be str, not bytes"),
    (bytes, "x", "x must be bytes, not str"),
    (datetime, "2030-01-01", "x must be datetime.datetime, not str"),
    (None, 0, "x must be None, not int"),
    (int | None, "x", "x must be int | None, not str"),
    (list[int], 5, "x must be list[int], not int"),
    (list[int], "12", "x must be list[int], not str"),
    (list[int], [1, "2"], "x[1] must be int, not str"),
    (list[list[int]], [[1], ["2"]], "x[1][0] must be int, not str"),
    (dict[str, int], [1], "x must be dict[str, int], not list"),
    (dict[str, int], {"a": "b"}, "x.a must be int, not str"),
    (Literal["a", 1], True, "x must be one of 'a', 1, not True"),
    (Literal["a", "b"], "c", "x must be one of 'a', 'b', not 'c'"),
    (UserId, "5", "x must be int, not str"),
    (Address, "Bern", "x must be a mapping with city, zip, not str"),
    (Path, 5, "x must be pathlib.Path (a text), not 5"),
    (Color, "green", "x must be one of 'red', not 'green'"),
    (Color | None, ["red"], "x must be one of 'red', not list"),
    (set[int], "12", "x must be set[int], not str"),
    (set[int], [1, "2"], "x[1] must be int, not str"),
    (date, "29.11.2026", "x must be datetime.date (a text such as '2026-11-29'), not '29.11.2026'"),
    (date | None, 5, "x must be datetime.date (a text such as '2026-11-29'), not 5"),
    (time, "late", "x must be datetime.time (a text such as '08:30:00'), not 'late'"),
    (timedelta, True, "x must be datetime.timedelta (seconds), not True"),
    (Decimal, "ten", "x must be decimal.Decimal (a number, or a text such as '9.90'), not 'ten'"),
    (dict[str, list[date]], {"a": ["x"]}, "x.a[0] must be datetime.date (a text such as '2026-11-29'), not 'x'"),
]

UNJUDGED: list[Any] = [
    Any,
    object,
    T,
    Literal[Color.RED],
    Callable[..., Any],
    Iterable[int],
    list[Any] | Iterable[int],
    "unresolved",
    5,
]


@table(("hint", "value"), FITTING)
def test_a_value_that_fits_passes(hint: Any, value: Any) -> None:
    check = check_of(hint)
    assert check is not None
    assert check("x", value) is None


@table(("hint", "value", "what"), WRONG)
def test_a_value_that_does_not_fit_is_told_with_its_place(hint: Any, value: Any, what: str) -> None:
    check = check_of(hint)
    assert check is not None
    assert check("x", value) == what


@table("hint", UNJUDGED)
def test_what_has_no_stored_form_of_its_own_is_not_judged(hint: Any) -> None:
    assert check_of(hint) is None


@table(
    ("value", "what"),
    [
        ({"to": {}}, "argument parcel.to.city is missing"),
        ({"to": {"city": 1}}, "argument parcel.to.city must be str, not int"),
        ({"to": {"city": "x", "street": 1}}, "argument parcel.to.street is not known; it takes"),
        ({"weights": [1, True]}, "argument parcel.weights[1] must be float, not bool"),
    ],
)
def test_the_place_of_a_problem_is_a_path(value: Any, what: str) -> None:
    check = check_of(Parcel)
    assert check is not None
    assert str(check("argument parcel", value)).startswith(what)


def test_an_alias_stands_for_its_value() -> None:
    check = check_of(TypeAliasType("Names", list[str] | None))
    assert check is not None
    assert (check("data", ["a"]), check("data", None)) == (None, None)
    assert check("data", 5) == "data must be list[str] | None, not int"
    anything = check_of(TypeAliasType("Anything", Any) | None)
    assert anything is None or anything("data", object()) is None
