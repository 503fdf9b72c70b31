"""Types whose values are stored in another form: enumerations, paths, decimals, dates, times and durations."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from inspect import formatannotation
from pathlib import PurePath
from typing import Any

from bson import Decimal128

from taskscheduler.model.stored_values import bson_form

_Reader = Callable[[Any, Any], Any]  #: takes a type and a stored value; returns the value of the type, or raises


def is_value_type(hint: Any) -> bool:
    """Returns whether an annotation is a type whose values are stored in another form."""
    return _reader_of(hint) is not None


def loaded(kind: Any, value: Any) -> Any:
    """Returns the value of a type from its stored form. Raises what its class raises if it is none."""
    reader = _reader_of(kind)
    return value if reader is None or isinstance(value, kind) else reader(kind, value)


def objection(kind: Any, value: Any) -> str | None:
    """Returns what a value must be to stand for one of a type; None if it does."""
    try:
        loaded(kind, value)
    except Exception:  # an enumeration or a class derived from one of these may raise anything
        given = repr(value) if isinstance(value, str | int | float) else type(value).__name__
        return f"must be {_expected(kind)}, not {given:.80}"
    return None


def _expected(kind: Any) -> str:
    if issubclass(kind, Enum):
        return "one of " + ", ".join(repr(stored) for stored, _ in _members(kind))
    return formatannotation(kind) + next((note for base, _, note in _READERS if issubclass(kind, base)), "")


def _reader_of(hint: Any) -> _Reader | None:
    if not isinstance(hint, type) or issubclass(hint, datetime):
        return None
    return next((reader for base, reader, _ in _READERS if issubclass(hint, base)), None)


@cache
def _members(kind: type[Enum]) -> list[tuple[Any, Enum]]:
    """Returns the members of an enumeration with their stored forms."""
    return [(bson_form(member.value, member.name), member) for member in kind]


def _member(kind: type[Enum], value: Any) -> Enum:
    for stored, member in _members(kind):
        if stored == value:
            return member
    return kind(value)  # combined flags, and values that the class itself maps to a member


def _path(kind: Any, value: Any) -> PurePath:
    return kind(_text(value))  # type: ignore[no-any-return]


def _decimal(kind: Any, value: Any) -> Decimal:
    if isinstance(value, Decimal128):
        return kind(value.to_decimal())  # type: ignore[no-any-return]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    return kind(repr(value) if isinstance(value, float) else value)  # type: ignore[no-any-return]


def _date(kind: Any, value: Any) -> date:
    return value if isinstance(value, datetime) else kind.fromisoformat(_text(value))


def _time(kind: Any, value: Any) -> time:
    return kind.fromisoformat(_text(value))  # type: ignore[no-any-return]


def _duration(kind: Any, value: Any) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return kind(seconds=value)  # type: ignore[no-any-return]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


#: type, how its values are read, and what to write for one
_READERS: tuple[tuple[type, _Reader, str], ...] = (
    (Enum, _member, ""),
    (PurePath, _path, " (a text)"),
    (Decimal, _decimal, " (a number, or a text such as '9.90')"),
    (date, _date, " (a text such as '2026-11-29')"),
    (time, _time, " (a text such as '08:30:00')"),
    (timedelta, _duration, " (seconds)"),
)
