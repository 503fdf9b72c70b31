"""Values of types that are stored in another form come back as the type that a job declares."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, NewType, NotRequired, Optional, TypedDict
from uuid import UUID

import bson
import pytest
from bson import Decimal128, ObjectId
from pydantic import BaseModel, ConfigDict, Field, computed_field
from tests.support.tables import table
from tests.unit.declarations.test_data_schema import function_of, job_of, spec_of

from taskscheduler import InvalidArgumentsError, Job, job
from taskscheduler.declarations.conversions import needs_conversion
from taskscheduler.model.options import JobOptions
from taskscheduler.model.payload import CODEC, encoded
from taskscheduler.operations.job_request import JobRequest

NOW = datetime(2030, 1, 1, tzinfo=UTC)
Place = NewType("Place", Path)


class Color(enum.Enum):
    RED = "red"
    BLUE = ("blue", 7)
    YES = True
    TWO = 2


class Level(enum.IntEnum):
    HIGH = 3


class Word(enum.StrEnum):
    NO = "no"


class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@dataclass
class Order:
    price: Decimal
    due: date
    color: Color = Color.RED
    files: set[Path] = field(default_factory=set)
    wait: timedelta | None = None
    again: list[Order] = field(default_factory=list)


class Entry(TypedDict):
    when: time
    levels: NotRequired[dict[Word, Level]]


class Model(BaseModel):
    price: Decimal
    where: Path
    wait: timedelta
    day: date
    color: Color
    numbers: frozenset[int]
    order: Order | None = None


class Renamed(BaseModel):
    """Takes a field by another name, and refuses what it does not know."""

    model_config = ConfigDict(extra="forbid")

    to: Path = Field(alias="To")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def name(self) -> str:
        return self.to.name


ORDER = Order(Decimal("9.90"), date(2026, 11, 29), Color.BLUE, {Path("/b"), Path("/a")}, timedelta(minutes=1))

ROUND_TRIPS: list[tuple[Any, Any]] = [
    (Path, Path("/x")),
    (PurePath, PurePath("x")),
    (Place, Path("/x")),
    (Annotated[Path, "note"], Path("/x")),
    (Color, Color.BLUE),
    (Color, Color.YES),
    (Color, Color.TWO),
    (Literal[Color.RED, "x"], Color.RED),
    (Literal[Color.RED, "x"], "x"),
    (Level, Level.HIGH),
    (Word, Word.NO),
    (Right, Right.READ | Right.WRITE),
    (Decimal, Decimal("9.90")),
    (date, date(2026, 11, 29)),
    (date, NOW),
    (datetime, NOW),
    (time, time(8, 30, 15, 250)),
    (timedelta, timedelta(days=2, microseconds=5)),
    (UUID, UUID(int=7)),
    (set[int], {1, 2}),
    (set, {1, "x"}),
    (frozenset[Path], frozenset({Path("/x")})),
    (AbstractSet[Color], {Color.RED}),
    (Optional[Path], Path("/x")),  # noqa: UP045
    (Path | None, None),
    (int | date, date(2026, 1, 1)),
    (list[date], [date(2026, 1, 1)]),
    (Sequence[Color | None], [None, Color.RED]),
    (tuple[Path, int], [Path("/x"), 1]),
    (dict[str, Decimal], {"a": Decimal(1)}),
    (Mapping[Word, set[date]], {Word.NO: {date(2026, 1, 1)}}),
    (dict[Path, int], {Path("/x"): 1}),
    (Entry, {"when": time(8), "levels": {Word.NO: Level.HIGH}}),
    (Order, ORDER),
    (list[Order], [ORDER]),
    (Order, Order(Decimal(1), date(2026, 1, 1), again=[ORDER])),
    (Renamed, Renamed(To=Path("/x"))),
    (list[Renamed], [Renamed(To=Path("/x"))]),
    (
        Model,
        Model(
            price=Decimal("1.5"),
            where=Path("/x"),
            wait=timedelta(seconds=1.5),
            day=date(2026, 1, 1),
            color=Color.RED,
            numbers=frozenset({1, 2}),
            order=Order(Decimal(1), date(2026, 1, 1), files={Path("/x")}),
        ),
    ),
]


def stored(given: Any, data: Any) -> Any:
    """What a worker reads of these data, and what it makes of them."""
    return bson.decode(encoded(spec_of(given).accept(data)), codec_options=CODEC)[""]


@table(("hint", "value"), ROUND_TRIPS)
def test_values_come_back_as_the_declared_type(hint: Any, value: Any) -> None:
    cls, function = job_of(hint), function_of(hint)
    made = [spec_of(cls).load(stored(cls, value))]
    for data in ([value], {"value": value}):
        signature = spec_of(function).signature
        assert signature is not None
        args, named = signature.load(stored(function, data))
        made += [*args, *named.values()]
    assert made == [value] * 3
    assert [type(one) for one in made] == [type(value)] * 3


@table(
    ("value", "given"),
    [(Path("/x"), ["/x"]), (ORDER, None), ({2, 1}, [[1, 2]]), (Color.BLUE, [["blue", 7]]), (frozenset(), [[]])],
)
def test_a_single_argument_is_never_taken_apart(value: Any, given: Any) -> None:
    """The stored form of one value may look like several arguments."""

    @job(name=f"single-{ObjectId()}")
    def undeclared(value: Any) -> Any:
        return value

    for function in (undeclared, function_of(type(value))):
        form = stored(function, value)
        signature = spec_of(function).signature
        assert signature is not None
        args, named = signature.load(form)
        assert (len(args), named) == (1, {})
    assert given is None or stored(undeclared, value) in (given, given[0])


@table(
    ("hint", "data", "made"),
    [
        (Decimal, 5, Decimal(5)),
        (Decimal, 9.9, Decimal("9.9")),
        (Decimal, "9.90", Decimal("9.90")),
        (Decimal, Decimal128("9.90"), Decimal("9.90")),
        (set[int], [1, 1, 2], {1, 2}),
        (timedelta, 90, timedelta(minutes=1, seconds=30)),
    ],
)
def test_other_programs_may_give_the_stored_form(hint: Any, data: Any, made: Any) -> None:
    given = job_of(hint)
    assert spec_of(given).load(stored(given, data)) == made


@table("declared", [job_of, function_of])
@table(
    ("hint", "wrong", "what"),
    [
        (Path, 5, "must be pathlib.Path (a text), not 5"),
        (Color, "green", "must be one of 'red', ['blue', 7], True, 2, not 'green'"),
        (list[date], ["today"], "[0] must be datetime.date (a text such as '2026-11-29'), not 'today'"),
        (Order, {"price": "ten", "due": "2026-01-01"}, "price must be decimal.Decimal"),
        (Entry, {"when": "soon"}, "when must be datetime.time"),
        (str, Path("/x"), "must be str, not PosixPath"),
        (set[int], ["x"], "[0] must be int, not str"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_their_place(
    declared: Callable[[Any], Any], hint: Any, wrong: Any, what: str
) -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        spec_of(given := declared(hint)).accept([wrong] if declared is function_of else wrong)
    assert what in str(caught.value)
    assert spec_of(given).name in str(caught.value)


@dataclass
class Names:
    first: str
    second: str


@table("value", [{1, 2}, Names("a", "b"), Color.BLUE, frozenset({(1, 2)})])
def test_one_value_never_becomes_several_arguments(value: Any) -> None:
    @job(name=f"several-{ObjectId()}")
    def several(first: Any, second: Any = None) -> Any:
        return first, second

    signature = spec_of(several).signature
    assert signature is not None
    args, named = signature.load(stored(several, value))
    assert len(args) == 1
    assert named == {}


def test_dates_that_bson_carries_cost_no_conversion() -> None:
    assert not needs_conversion(dict[str, list[datetime | None]])
    assert needs_conversion(dict[str, list[date | None]])


def test_of_a_union_that_several_members_take_the_stored_form_stays() -> None:
    given = job_of(Path | str)
    assert spec_of(given).load(stored(given, Path("/x"))) == "/x"


def test_equal_values_are_the_same_job() -> None:
    given = job_of(Any)
    keys = {
        JobRequest.of(given, data, {}, JobOptions(dedupe=True)).document(NOW, wake=False)["dedupe"]
        for data in (
            {"p": Path("/x"), "s": {"b", "a"}},
            {"s": ["a", "b"], "p": "/x"},
            {"s": {"a", "b"}, "p": Path("/x")},
        )
    }
    assert len(keys) == 1


def test_undeclared_data_come_back_as_they_are_stored() -> None:
    class Undeclared(Job):
        name = f"undeclared-{ObjectId()}"

    data = {"p": Path("/x"), "n": Decimal(1)}
    assert spec_of(Undeclared).load({"p": "/x", "n": Decimal128("1")}) == {"p": "/x", "n": Decimal128("1")}
    assert spec_of(Undeclared).accept(data) is data  # what cannot be encoded is converted when it is
