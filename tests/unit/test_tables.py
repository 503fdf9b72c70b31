"""A table of cases runs each of them, and names all that fail."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from tests.support.tables import crossed, table


def test_every_row_runs_and_the_rows_of_several_tables_multiply() -> None:
    ran: list[tuple[Any, ...]] = []

    @table(("first", "second"), [(1, 2), (3, 4)])
    @table("third", "ab")
    def run(first: int, second: int, third: str, fixture: str) -> None:
        ran.append((first, second, third, fixture))

    assert [*inspect.signature(run).parameters] == ["fixture"]
    run(fixture="f")
    assert ran == [(1, 2, "a", "f"), (1, 2, "b", "f"), (3, 4, "a", "f"), (3, 4, "b", "f")]


def test_the_error_names_every_row_that_fails_and_how() -> None:
    ran = []

    @table("number", range(6))
    def run(number: int) -> None:
        ran.append(number)
        assert number not in (1, 5), f"{number} is wrong"
        if number == 2:
            raise KeyError("gone")
        if number == 3:
            with pytest.raises(ValueError, match="nothing"):
                pass
        if number == 4:
            pytest.skip("no row is left out")

    with pytest.raises(AssertionError) as caught:
        run()
    assert ran == [0, 1, 2, 3, 4, 5]
    heading, *lines = [line for line in str(caught.value).splitlines() if line.startswith(("row ", "5 of 6"))]
    assert heading == "5 of 6 rows fail"
    assert [line.split(":")[0] for line in lines] == [f"row {number} (number={number})" for number in range(1, 6)]
    for line, said in zip(
        lines, ("1 is wrong", "'gone'", "DID NOT RAISE", "no row is left out", "5 is wrong"), strict=True
    ):
        assert said in line
    assert "1 is wrong" in str(caught.value.__cause__)


class Unshowable:
    def __repr__(self) -> str:
        raise TypeError("no text")


@pytest.mark.parametrize(
    ("value", "shown"), [(Unshowable(), "<Unshowable whose repr raises TypeError>"), ("x" * 5000, "x…")]
)
def test_any_value_can_be_named(value: Any, shown: str) -> None:
    @table("value", [value])
    def run(value: Any) -> None:
        raise ValueError

    with pytest.raises(AssertionError) as caught:
        run()
    assert shown in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_table_has_rows_and_each_fills_its_columns() -> None:
    with pytest.raises(AssertionError, match="the table of name is empty"):
        table("name", [])
    with pytest.raises(ValueError, match="zip"):
        table(("first", "second"), [(1,)])


def test_of_all_combinations_those_are_tried_often_that_have_each_value_once() -> None:
    found = crossed("ab", [1, 2, 3])
    assert [one.values for one in found] == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("b", 3)]
    assert [one.values for one in found if not one.marks] == [("a", 1), ("a", 3), ("b", 2)]
