"""Tables of many small cases in one test: pytest itself costs milliseconds for each test, and a row costs none."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from itertools import product
from typing import Any

import pytest

_ROWS = "rows_of_its_tables"
_LONGEST = 300  #: characters of a value, and of what is said about a row


def rarely(*values: Any) -> list[Any]:
    """Returns values of a parameter that only `-m faults` tries: each takes long, and others stand for them."""
    return [pytest.param(value, marks=pytest.mark.faults) for value in values]


def crossed(*columns: Sequence[Any]) -> list[Any]:
    """Returns all combinations of the values of several parameters, of which most are only tried by `-m faults`.

    The others try each value of each parameter: the first ones together, then the second ones, and so on.
    """
    longest = max(map(len, columns))
    often = [tuple(number % len(column) for column in columns) for number in range(longest)]
    every = list(product(*(range(len(column)) for column in columns)))
    marks = {places: () if places in often else (pytest.mark.faults,) for places in every}
    return [
        pytest.param(*(column[place] for column, place in zip(columns, places, strict=True)), marks=marks[places])
        for places in every
    ]


def table(names: str | Sequence[str], rows: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Runs a test for each row and fails with all rows that failed; takes what `pytest.mark.parametrize` takes.

    Several tables multiply. All rows share the fixtures of the test, so a row must not depend on what one before it
    left in them. A row that is skipped counts as failed.
    """
    columns = [names] if isinstance(names, str) else names
    found = [dict(zip(columns, [row] if isinstance(names, str) else row, strict=True)) for row in rows]
    assert found, f"the table of {names} is empty"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        inner = getattr(test, _ROWS, [{}])
        return _tabled(inspect.unwrap(test), [{**row, **more} for row in found for more in inner])

    return decorate


def _tabled(test: Callable[..., None], rows: list[dict[str, Any]]) -> Callable[..., None]:
    @wraps(test)
    def run(**fixtures: Any) -> None:
        failures = [(number, row, error) for number, row in enumerate(rows) if (error := _failure(test, fixtures, row))]
        if failures:
            said = [f"row {number} ({_shown(row)}): {_cut(_said(error))}" for number, row, error in failures]
            raise AssertionError("\n".join([f"{len(said)} of {len(rows)} rows fail", *said])) from failures[0][2]

    signature = inspect.signature(test)
    fixtures = [one for name, one in signature.parameters.items() if name not in rows[0]]
    run.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]  # what pytest looks at
    setattr(run, _ROWS, rows)
    return run


def _failure(test: Callable[..., None], fixtures: dict[str, Any], row: dict[str, Any]) -> BaseException | None:
    try:
        test(**fixtures, **row)
    except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
        return error
    return None


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _shown(row: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_cut(_repr(value))}" for name, value in row.items())


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # among the values are some that nobody can show
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
