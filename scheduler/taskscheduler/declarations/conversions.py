"""Makes the values that annotations name of their stored forms: dataclasses and models of mappings, sets of lists."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from bson import Decimal128

from taskscheduler.declarations.type_checks import (
    DATA,
    LISTS,
    MAPPINGS,
    SETS,
    TOO_DEEP,
    check_of,
    hints_of,
    is_alias,
    is_among,
    plain,
    record_of,
)
from taskscheduler.declarations.value_types import is_value_type, loaded
from taskscheduler.model.stored_values import bson_form, is_model


def needs_conversion(hint: Any) -> bool:
    """Returns whether a type that is stored in another form stands anywhere in an annotation."""
    return _holds(hint, [])


def reason(error: Exception) -> str:
    """Returns the objections of a class of the application in one line."""
    if isinstance(error, RecursionError):
        return TOO_DEEP
    try:
        found = error.errors()  # type: ignore[attr-defined]
        return "; ".join(f"argument {'.'.join(map(str, one['loc'])) or DATA}: {one['msg']}" for one in found[:5])
    except Exception:  # not what pydantic raises
        return f"{type(error).__name__}: {error}"


def _holds(hint: Any, seen: list[Any]) -> bool:
    hint = _target(hint)
    if any(hint is one for one in seen):
        return False  # a type that contains itself
    seen.append(hint)
    inside = hints_of(hint).values() if typing.is_typeddict(hint) else get_args(hint)
    return _is_converted(hint) or any(_holds(one, seen) for one in inside)


def _is_converted(hint: Any) -> bool:
    origin = get_origin(hint) or hint
    if origin is Literal:
        return any(isinstance(one, Enum) for one in get_args(hint))
    return _kind_of(hint) is not None or is_value_type(hint) or is_among(origin, SETS)


def _target(hint: Any) -> Any:
    """Returns the type that an annotation stands for."""
    hint = plain(hint)
    return _target(hint.__value__) if is_alias(hint) else hint


def _kind_of(hint: Any) -> type | None:
    """Returns the dataclass or model that is annotated."""
    return hint if is_model(hint) else record_of(hint)


def made(hint: Any, value: Any) -> Any:
    """Returns the value of an annotated type from a stored value that fits. Raises what the classes raise."""
    hint = _target(hint)
    kind, origin, given = _kind_of(hint), get_origin(hint), get_args(hint)
    if kind is not None:
        return _instance(kind, value)
    if is_value_type(hint):
        return loaded(hint, value)
    if origin is Literal:
        return next((one for one in given if isinstance(one, Enum) and bson_form(one, DATA) == value), value)
    if origin in (Union, types.UnionType):
        meant = _meant(given, value)
        return value if meant is None else made(meant, value)
    if is_among(origin or hint, SETS) and isinstance(value, list | tuple):
        items = value if not given else [made(given[0], one) for one in value]
        return frozenset(items) if (origin or hint) is frozenset else set(items)
    if is_among(origin, LISTS) and isinstance(value, list | tuple):
        hints = _hints_of_items(origin, given, len(value))
        return _unless_same(value, [made(one, part) for one, part in zip(hints, value, strict=False)])
    if is_among(origin, MAPPINGS) and len(given) == 2 and isinstance(value, Mapping):
        return _named(given[0], _fields(dict.fromkeys(value, given[1]), value))
    if typing.is_typeddict(hint) and isinstance(value, Mapping):
        return _fields(hints_of(hint), value)
    return value


def _meant(members: Iterable[Any], value: Any) -> Any:
    """Returns the member of a union that a value is meant for; None if there are several, or it is None."""
    meant = [] if value is None else [one for one in members if one is not type(None)]
    if len(meant) > 1:
        meant = [one for one in meant if _takes(one, value)]
    return meant[0] if len(meant) == 1 else None


def _takes(hint: Any, value: Any) -> bool:
    check = check_of(hint)
    return check is None or check(DATA, value) is None


def _hints_of_items(origin: Any, given: Sequence[Any], number: int) -> Sequence[Any]:
    if origin is tuple and not (len(given) == 2 and given[1] is Ellipsis):
        return [*given, *[Any] * (number - len(given))]
    return [given[0]] * number


def _fields(hints: Mapping[Any, Any], value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    converted = {name: made(hints.get(name, Any), one) for name, one in value.items()}
    return converted if any(converted[name] is not one for name, one in value.items()) else value


def _named(hint: Any, value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Returns a mapping with keys of the annotated type."""
    return {loaded(hint, name): one for name, one in value.items()} if is_value_type(hint) else value


def _unless_same(value: Sequence[Any], converted: list[Any]) -> Any:
    return converted if any(new is not old for new, old in zip(converted, value, strict=True)) else value


@cache
def _shape(kind: Any) -> tuple[Mapping[str, Any], frozenset[str]]:
    """Returns the annotations of a dataclass, and the names of its fields that are derived."""
    return hints_of(kind), frozenset(field.name for field in dataclasses.fields(kind) if not field.init)


def _instance(kind: Any, value: Any) -> Any:
    if is_model(kind):
        return kind.model_validate(_with_decimals(value))
    hints, derived = _shape(kind)
    given = {name: one for name, one in value.items() if name not in derived}  # these are derived again
    return kind(**{name: made(hints.get(name, Any), one) for name, one in given.items()})


def _with_decimals(value: Any) -> Any:
    """Returns a stored value with the decimals of Python, as models know no others."""
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, Mapping):
        return {name: _with_decimals(one) for name, one in value.items()}
    return [_with_decimals(one) for one in value] if isinstance(value, list) else value
