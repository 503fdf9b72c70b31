"""Judges documents by the common part of MongoDB's query language, as the server does."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from bson import Decimal128, ObjectId

_MISSING = object()


class Condition(Protocol):
    """Part of a query."""

    def holds(self, document: Mapping[str, Any]) -> bool:
        """Returns whether the document fulfils it."""
        ...


class _UnknownError(Exception):
    """The query asks for something that only the server can judge."""


def condition(query: Mapping[str, Any]) -> Condition | None:
    """Returns the condition of a query as it is stored, without types of Python's own.

    None if only the server can judge it: it compares with other things than plain values, or by other operators than
    $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $and, $or and $nor.
    """
    try:
        return _all_of(query)
    except _UnknownError:
        return None


@dataclass(frozen=True, slots=True)
class _All:
    parts: Sequence[Condition]

    def holds(self, document: Mapping[str, Any]) -> bool:
        return all(part.holds(document) for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Any:
    parts: Sequence[Condition]

    def holds(self, document: Mapping[str, Any]) -> bool:
        return any(part.holds(document) for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Not:
    part: Condition

    def holds(self, document: Mapping[str, Any]) -> bool:
        return not self.part.holds(document)


@dataclass(frozen=True, slots=True)
class _OneOf:
    """The field, or an element of it, equals one of these values."""

    path: Sequence[str]
    wanted: frozenset[tuple[str, Any]]

    def holds(self, document: Mapping[str, Any]) -> bool:
        if len(self.path) == 1:  # the usual case, which hundreds of listeners ask of every change
            value = document.get(self.path[0], _MISSING)
            if not isinstance(value, list):
                return _keyed(value) in self.wanted
        return any(_keyed(value) in self.wanted for value in _values(document, self.path))


@dataclass(frozen=True, slots=True)
class _Compared:
    """The field, or an element of it, is of the kind of a value and stands in this order to it."""

    path: Sequence[str]
    order: Callable[[Any, Any], bool]
    kind: str
    limit: Any

    def holds(self, document: Mapping[str, Any]) -> bool:
        keys = (_keyed(value) for value in _values(document, self.path))
        return any(kind == self.kind and self.order(value, self.limit) for kind, value in keys)


@dataclass(frozen=True, slots=True)
class _Exists:
    path: Sequence[str]

    def holds(self, document: Mapping[str, Any]) -> bool:
        return any(value is not _MISSING for value in _values(document, self.path))


_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}

_KINDS: Sequence[tuple[type | tuple[type, ...], str]] = (
    (bool, "bool"),  # before int, of which it is one in Python
    ((int, float), "number"),
    (str, "text"),
    (ObjectId, "id"),
    (datetime, "date"),
)

_KIND_OF = {bool: "bool", int: "number", float: "number", str: "text", ObjectId: "id", datetime: "date"}

_ORDERED = frozenset({"number", "text", "id", "date"})


def _keyed(value: Any) -> tuple[str, Any]:
    """Returns the kind of a value, with which only its own kind is compared, and what is compared."""
    usual = _KIND_OF.get(type(value))
    if usual is not None:
        return usual, value
    for types, kind in _KINDS:
        if isinstance(value, types):
            return kind, value
    if isinstance(value, Decimal128):
        return "number", value.to_decimal()
    return ("null", None) if value is None or value is _MISSING else ("other", None)


def _values(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """Yields what stands at a path: a list and its elements; lists on the way are looked through."""
    if not path:
        yield value
        if isinstance(value, list):
            yield from value
    elif isinstance(value, Mapping):
        yield from _values(value.get(path[0], _MISSING), path[1:])
    elif isinstance(value, list):
        for element in value:
            if isinstance(element, Mapping):
                yield from _values(element, path)
    else:
        yield _MISSING


def _all_of(query: Mapping[str, Any]) -> Condition:
    parts = [part for key, value in query.items() for part in _parts_of(key, value)]
    return parts[0] if len(parts) == 1 else _All(parts)


def _parts_of(key: str, value: Any) -> Iterator[Condition]:
    if key in ("$and", "$or", "$nor"):
        if not isinstance(value, list) or not value:
            raise _UnknownError
        parts = [_all_of(part) for part in value]
        yield _All(parts) if key == "$and" else _Any(parts) if key == "$or" else _Not(_Any(parts))
        return
    path = key.split(".")
    if key.startswith("$") or any(not name or name.isdigit() for name in path):
        raise _UnknownError
    if isinstance(value, Mapping) and any(name.startswith("$") for name in value):
        for name, operand in value.items():
            yield _operation(path, name, operand)
    else:
        yield _one_of(path, [value])


def _operation(path: Sequence[str], name: str, operand: Any) -> Condition:
    if name in ("$eq", "$ne"):
        found: Condition = _one_of(path, [operand])
    elif name in ("$in", "$nin") and isinstance(operand, list):
        found = _one_of(path, operand)
    elif name == "$exists":
        return _Exists(path) if operand else _Not(_Exists(path))
    elif name in _ORDERS and _keyed(operand)[0] in _ORDERED and operand == operand:
        return _Compared(path, _ORDERS[name], *_keyed(operand))
    else:
        raise _UnknownError
    return _Not(found) if name in ("$ne", "$nin") else found


def _one_of(path: Sequence[str], values: Sequence[Any]) -> Condition:
    keys = frozenset(map(_keyed, values))
    if any(kind == "other" or value != value for kind, value in keys):
        raise _UnknownError  # documents, lists, patterns, and NaN, which equals itself on the server
    return _OneOf(path, keys)
