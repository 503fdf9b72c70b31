"""The stored form of Python values that BSON does not know: paths, enumerations, decimals, dates, sets, dataclasses.

| value | stored as |
| --- | --- |
| path | text |
| member of an enumeration | its value |
| Decimal | Decimal128 |
| date, time | text in ISO form |
| timedelta | seconds |
| set, frozenset | list in order |
| dataclass, pydantic model | mapping |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from operator import is_
from pathlib import PurePath
from typing import Any

import bson
from bson import Decimal128, ObjectId
from bson.errors import InvalidDocument
from bson.raw_bson import RawBSONDocument

from taskscheduler.errors import InvalidDataError

#: types of which every value, not of a subclass, is stored and read back as it is
PLAIN = frozenset({int, float, str, bool, bytes, type(None), ObjectId, datetime})

_DEEPEST_FAULT = 200  #: levels below which no place is named


def bson_form(value: Any, place: str) -> Any:
    """Returns the stored form of a value at a place such as `data.items[3]`: the value itself if BSON knows it.

    InvalidDataError names the place of a value without a stored form. Whether BSON takes the rest shows when it is
    encoded. Raises whatever the classes of the values raise.
    """
    if type(value) in PLAIN or isinstance(value, datetime | RawBSONDocument):
        return value
    if isinstance(value, Enum):
        return bson_form(value.value, place)
    if isinstance(value, Mapping):
        return _mapping(value, place)
    if isinstance(value, list | tuple):
        items = [bson_form(item, f"{place}[{number}]") for number, item in enumerate(value)]
        return value if isinstance(value, list) and all(map(is_, items, value)) else items
    if isinstance(value, set | frozenset):
        return _in_order([bson_form(item, place) for item in value])
    if is_model(type(value)):
        return bson_form(_dumped(value), place)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: bson_form(getattr(value, one.name), f"{place}.{one.name}") for one in _fields(value)}
    return _scalar(value, place)


def is_model(kind: Any) -> bool:
    """Returns whether this is a pydantic model, or looks like one."""
    return isinstance(kind, type) and all(
        callable(getattr(kind, name, None)) for name in ("model_validate", "model_dump")
    )


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value)


def _dumped(model: Any) -> Any:
    """Returns what a model can be made of again: names as it takes them, and nothing that is computed."""
    if hasattr(type(model), "__pydantic_serializer__"):
        return model.model_dump(by_alias=True, round_trip=True)
    return model.model_dump()


def _mapping(value: Mapping[Any, Any], place: str) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        name = bson_form(key, place)
        if not isinstance(name, str):
            raise InvalidDataError(f"{place} has the key {key!r:.60}, which is no text; give texts as keys")
        if name in found:
            raise InvalidDataError(f"{place} has two keys that are stored as {name!r:.60}")
        found[name] = bson_form(item, f"{place}.{name:.60}")
    return value if all(map(is_, found, value)) and all(map(is_, found.values(), value.values())) else found


def _in_order(items: list[Any]) -> list[Any]:
    """Sorts the items of a set, so that equal sets are stored equally."""
    try:
        return sorted(items)
    except TypeError:  # of several types, or mappings
        return sorted(items, key=_as_bytes)


def _as_bytes(value: Any) -> bytes:
    try:
        return bson.encode({"": value})
    except Exception:  # it has no stored form; whoever encodes the whole says so
        return b""


def _scalar(value: Any, place: str) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Decimal):
        return _decimal(value, place)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return int(seconds) if seconds == int(seconds) else seconds
    return value


def _decimal(value: Decimal, place: str) -> Decimal128:
    try:
        return Decimal128(value)
    except ArithmeticError:
        raise InvalidDataError(f"{place} is a Decimal of more than 34 digits or too large; give it as a text") from None


# -- what cannot be stored --------------------------------------------------------------------------------------------


def fault_in(value: Any, place: str, attempt: Callable[[Any], Any]) -> str:
    """Returns the place in a value, in its stored form, that makes `attempt` fail, and the reason."""
    reason = _failure(attempt, value)
    for _ in range(_DEEPEST_FAULT):
        for inner, item in _parts(value, place):
            if (found := _failure(attempt, item)) is not None:
                value, place, reason = item, inner, found
                break
        else:
            break
    if isinstance(reason, InvalidDocument) and not isinstance(value, Mapping | list):
        name = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        return f"{place} is of type {name}, which has no stored form; give texts, numbers, lists or mappings instead"
    return f"{place}: {reason}"


def _parts(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, RawBSONDocument):
        return  # nobody may be able to decode it
    if isinstance(value, Mapping):
        yield from ((f"{place}.{key!s:.60}", item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"{place}[{number}]", item) for number, item in enumerate(value))


def _failure(attempt: Callable[[Any], Any], value: Any) -> Exception | None:
    try:
        attempt(value)
    except Exception as error:
        return error
    return None
