"""Makes dataclasses and models of stored mappings, and mappings of them, wherever an annotation names them."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Union, get_args, get_origin

from taskscheduler.declarations.type_checks import (
    DATA,
    LISTS,
    MAPPINGS,
    TOO_DEEP,
    check_of,
    hints_of,
    is_alias,
    is_among,
    plain,
    record_of,
)

_Leaf = Callable[[type, Any], Any]  #: takes a dataclass or model and a value for it; returns what stands in its place


def needs_conversion(hint: Any) -> bool:
    """Returns whether a dataclass or model stands anywhere in an annotation."""
    return _holds(hint, [])


def stored(hint: Any, value: Any) -> Any:
    """Returns a value with mappings in place of instances; the value itself if there are none."""
    return _converted(hint, value, _stored)


def made(hint: Any, value: Any) -> Any:
    """Returns a stored value that fits with instances in place of mappings. Raises what their classes raise."""
    return _converted(hint, value, _made)


def reason(error: Exception) -> str:
    """Returns the objections of a class of the application in one line."""
    if isinstance(error, RecursionError):
        return TOO_DEEP
    try:
        found = error.errors()  # type: ignore[attr-defined]
        return "; ".join(f"argument {'.'.join(map(str, one['loc'])) or DATA}: {one['msg']}" for one in found[:5])
    except Exception:  # not what pydantic raises
        return f"{type(error).__name__}: {error}"


def is_model(kind: Any) -> bool:
    """Returns whether this is a pydantic model, or looks like one."""
    return isinstance(kind, type) and callable(getattr(kind, "model_validate", None))


def _holds(hint: Any, seen: list[Any]) -> bool:
    hint = _target(hint)
    if any(hint is one for one in seen):
        return False  # a type that contains itself
    seen.append(hint)
    inside = hints_of(hint).values() if typing.is_typeddict(hint) else get_args(hint)
    return _kind_of(hint) is not None or any(_holds(one, seen) for one in inside)


def _target(hint: Any) -> Any:
    """Returns the type that an annotation stands for."""
    hint = plain(hint)
    return _target(hint.__value__) if is_alias(hint) else hint


def _kind_of(hint: Any) -> type | None:
    """Returns the dataclass or model that is annotated."""
    return hint if is_model(hint) else record_of(hint)


def _converted(hint: Any, value: Any, leaf: _Leaf) -> Any:
    hint = _target(hint)
    kind, origin, given = _kind_of(hint), get_origin(hint), get_args(hint)
    if kind is not None:
        return leaf(kind, value)
    if origin in (Union, types.UnionType):
        meant = _meant(given, value)
        return value if meant is None else _converted(meant, value, leaf)
    if is_among(origin, LISTS) and isinstance(value, list | tuple):
        items = _hints_of_items(origin, given, len(value))
        return _unless_same(value, [_converted(one, part, leaf) for one, part in zip(items, value, strict=False)])
    if is_among(origin, MAPPINGS) and len(given) == 2 and isinstance(value, Mapping):
        return _fields(dict.fromkeys(value, given[1]), value, leaf)
    if typing.is_typeddict(hint) and isinstance(value, Mapping):
        return _fields(hints_of(hint), value, leaf)
    return value


def _meant(members: Iterable[Any], value: Any) -> Any:
    """Returns the member of a union that a value is meant for; None if there are several, or it is None."""
    meant = [] if value is None else [one for one in members if one is not type(None)]
    if len(meant) > 1:
        instances = [one for one in meant if isinstance(value, _kind_of(_target(one)) or ())]
        fitting = instances or [one for one in meant if _takes(one, value)]
        meant = fitting or [one for one in meant if _takes(one, stored(one, value))]
    return meant[0] if len(meant) == 1 else None


def _takes(hint: Any, value: Any) -> bool:
    check = check_of(hint)
    return check is None or check(DATA, value) is None


def _hints_of_items(origin: Any, given: Sequence[Any], number: int) -> Sequence[Any]:
    if origin is tuple and not (len(given) == 2 and given[1] is Ellipsis):
        return [*given, *[Any] * (number - len(given))]
    return [given[0]] * number


def _fields(hints: Mapping[Any, Any], value: Mapping[Any, Any], leaf: _Leaf) -> Any:
    converted = {name: _converted(hints.get(name, Any), one, leaf) for name, one in value.items()}
    return converted if any(converted[name] is not one for name, one in value.items()) else value


def _unless_same(value: Sequence[Any], converted: list[Any]) -> Any:
    return converted if any(new is not old for new, old in zip(converted, value, strict=True)) else value


@cache
def _shape(kind: Any) -> tuple[Mapping[str, Any], frozenset[str]]:
    """Returns the annotations of a dataclass, and the names of its fields that are derived."""
    return hints_of(kind), frozenset(field.name for field in dataclasses.fields(kind) if not field.init)


def _stored(kind: Any, value: Any) -> Any:
    if is_model(kind):
        return value.model_dump() if isinstance(value, kind) else value
    if isinstance(value, kind):
        value = dataclasses.asdict(value)
    return _fields(_shape(kind)[0], value, _stored) if isinstance(value, Mapping) else value


def _made(kind: Any, value: Any) -> Any:
    if is_model(kind):
        return kind.model_validate(value)
    hints, derived = _shape(kind)
    given = {name: one for name, one in value.items() if name not in derived}  # these are derived again
    return kind(**{name: _converted(hints.get(name, Any), one, _made) for name, one in given.items()})
