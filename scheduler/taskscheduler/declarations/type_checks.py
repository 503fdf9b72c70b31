"""Checks stored values by their annotations. Only types that BSON carries, or stores in a known form, are checked."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSequence, MutableSet, Sequence, Set
from datetime import datetime
from functools import cache
from inspect import formatannotation
from itertools import chain, repeat
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from bson import Decimal128, ObjectId

from taskscheduler.declarations.value_types import is_value_type, objection
from taskscheduler.model.flows.inputs import Pending

Check = Callable[[str, Any], str | None]  #: takes a place and a value; returns an objection, or None

_PLAIN = (str, bytes, bool, int, float, datetime, ObjectId, UUID, Decimal128)

LISTS = (list, tuple, Sequence, MutableSequence)

SETS = (set, frozenset, Set, MutableSet)  #: stored as lists

MAPPINGS = (dict, Mapping, MutableMapping)

_NONE = type(None)

TOO_DEEP = "the data are nested too deeply"

DATA, ARGUMENT = "data", "argument "  #: how places begin


def check_of(hint: Any) -> Check | None:
    """Returns the check for an annotation; None if every value passes."""
    hint = plain(hint)
    if is_alias(hint):
        return lambda place, value: _check_of_alias(hint)(place, value)
    origin, given = get_origin(hint), get_args(hint)
    kind = record_of(hint)
    if kind is not None:
        return lambda place, value: _check_of_dataclass(kind)(place, value)
    if hint in (None, _NONE):
        return lambda place, value: None if value is None else _wrong(place, hint, value)
    if isinstance(hint, type) and hint in _PLAIN:
        return lambda place, value: None if is_a(value, hint) else _wrong(place, hint, value)
    if origin in (Union, types.UnionType):
        return _any_of(hint, [(one, check_of(one)) for one in given])
    if origin is Literal:
        return _literal(given)
    if is_value_type(hint):
        return lambda place, value: None if (wrong := objection(hint, value)) is None else f"{place} {wrong}"
    if is_among(origin or hint, (*LISTS, *SETS)):
        return _list_of(hint, *_checks_of_items(origin, given))
    if is_among(origin or hint, MAPPINGS):
        return _mapping_of(hint, check_of(given[1]) if len(given) == 2 else None)
    if typing.is_typeddict(hint):
        return lambda place, value: _check_of_typed_dict(hint)(place, value)
    return None


def _checks_of_items(origin: Any, given: Sequence[Any]) -> tuple[Check | None, Sequence[Check | None]]:
    """Returns the check of all items, and those of the first ones: a tuple of fixed length has one for each place."""
    if origin is tuple and not (len(given) == 2 and given[1] is Ellipsis):
        return None, [check_of(one) for one in given]
    return check_of(given[0]) if given else None, ()


def record_of(hint: Any) -> type | None:
    """Returns the dataclass that is annotated, also with type parameters; None for anything else."""
    kind = get_origin(hint) or hint
    return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None


# a named type may contain itself, so its check is made once, when it is first needed


@cache
def _check_of_dataclass(kind: Any) -> Check:
    fields, missing, hints = dataclasses.fields(kind), dataclasses.MISSING, hints_of(kind)
    given = {field.name: hints.get(field.name, Any) for field in fields if field.init}
    needed = [one.name for one in fields if one.init and one.default is missing and one.default_factory is missing]
    derived = {field.name for field in fields if not field.init}
    check_fields = fields_check(given, needed)

    def check(place: str, value: Any) -> str | None:
        if derived and isinstance(value, Mapping):  # these are stored with the instance, and derived again
            value = {name: one for name, one in value.items() if name not in derived}
        return check_fields(place, value)

    return check


@cache
def _check_of_typed_dict(kind: Any) -> Check:
    return fields_check(hints_of(kind), required_keys(kind))


@cache
def _check_of_alias(alias: Any) -> Check:
    return check_of(alias.__value__) or _anything


def _anything(_place: str, _value: Any) -> str | None:
    return None


def deeply(check: Callable[[], str | None]) -> str | None:
    """Runs a check on values that may be nested too deeply for it, or contain themselves."""
    try:
        return check()
    except RecursionError:
        return TOO_DEEP


def is_a(value: Any, kind: type) -> bool:
    """Returns whether a value is of a type, as type checkers see it: an int is a float, but a bool is no number."""
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)


def hints_of(annotated: Any, notes: bool = False) -> dict[str, Any]:
    """Returns the annotations of a class or function that can be resolved. `notes` keeps `Annotated`."""
    try:
        return get_type_hints(annotated, include_extras=notes)
    except Exception:  # names that exist only while types are checked, code in annotations that fails
        return _resolvable_hints(annotated, notes)


def _resolvable_hints(annotated: Any, notes: bool) -> dict[str, Any]:
    """Returns the annotations that can be resolved, each on its own, so that one that cannot does not hide others."""
    found: dict[str, Any] = {}
    for owner in reversed(getattr(annotated, "__mro__", (annotated,))):
        for name, hint in annotations_of(owner).items():
            found.pop(name, None)  # that of a class hides those of its bases
            try:
                found |= get_type_hints(_holder(owner, name, hint), *_names(owner), include_extras=notes)
            except Exception:
                continue
    return found


def annotations_of(owner: Any) -> Mapping[str, Any]:
    """Returns the annotations of a class or function itself, unresolved; none if they cannot be read."""
    try:
        return inspect.get_annotations(owner)
    except Exception:  # code in annotations that fails
        return {}


def _holder(owner: Any, name: str, hint: Any) -> type:
    """Returns a class with just this annotation."""
    return type("Holder", (), {"__annotations__": {name: hint}, "__module__": owner.__module__})


def _names(owner: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the names that annotations may use: those of the class, and before them those of the module."""
    module = getattr(sys.modules.get(owner.__module__), "__dict__", {})
    own = dict(vars(owner)) if isinstance(owner, type) else {}
    return own, getattr(inspect.unwrap(owner), "__globals__", module)


def fields_check(hints: Mapping[str, Any], required: Iterable[str]) -> Check:
    """Returns the check for a mapping with these keys and no others."""
    checks = {name: check_of(hint) for name, hint in hints.items()}
    needed = [name for name in hints if name in frozenset(required)]

    def check(place: str, value: Any) -> str | None:
        if not isinstance(value, Mapping):
            return f"{place} must be a mapping with {', '.join(checks) or 'nothing'}, not {type(value).__name__}"
        problem = misnamed(value, checks, needed, "" if place == DATA else place.removeprefix(ARGUMENT) + ".")
        if problem is not None:
            return problem
        return first_wrong((inside(place, name), value[name], checks[name]) for name in checks if name in value)

    return check


def inside(place: str, name: str) -> str:
    """Returns the place of a field."""
    return f"{ARGUMENT}{name}" if place == DATA else f"{place}.{name}"


def misnamed(given: Iterable[Any], known: Iterable[str], needed: Iterable[str], prefix: str = "") -> str | None:
    """Returns the first name that is missing or not known."""
    given, known = list(given), list(known)
    for name in needed:
        if name not in given:
            return f"{ARGUMENT}{prefix}{name} is missing"
    for name in given:
        if name not in known:
            takes = ", ".join(f"{prefix}{one}" for one in known) or "none"
            return f"{ARGUMENT}{prefix}{name!s:.80} is not known; it takes {takes}"
    return None


def first_wrong(values: Iterable[tuple[str, Any, Check | None]]) -> str | None:
    """Returns the first objection among places, values and their checks; a value that is not known yet fits."""
    for place, value, check in values:
        problem = check(place, value) if check is not None and not isinstance(value, Pending) else None
        if problem is not None:
            return problem
    return None


def required_keys(kind: Any) -> set[str]:
    """Returns the required keys of a TypedDict; the class itself does not know them where annotations are texts."""
    marks = {name: get_origin(hint) for name, hint in hints_of(kind, notes=True).items()}
    required = {name for name, mark in marks.items() if mark is Required}
    return required | {name for name in kind.__required_keys__ if marks.get(name) is not NotRequired}


def plain(hint: Any) -> Any:
    """Returns the type behind `Annotated` and `NewType`."""
    while True:
        if get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
            continue
        behind = getattr(hint, "__supertype__", None)
        if behind is None or isinstance(hint, type):
            return hint
        hint = behind


def is_alias(hint: Any) -> bool:
    """Returns whether `type X = ...` made it; its value may be read only when every name in it is defined."""
    return not isinstance(hint, type) and type(get_origin(hint) or hint).__name__ == "TypeAliasType"


def is_among(hint: Any, kinds: Sequence[Any]) -> bool:
    return any(hint is kind for kind in kinds)


def _wrong(place: str, hint: Any, value: Any) -> str:
    return f"{place} must be {'None' if hint is _NONE else formatannotation(hint)}, not {type(value).__name__}"


def _any_of(hint: Any, members: Sequence[tuple[Any, Check | None]]) -> Check | None:
    known = [check for _, check in members if check is not None]
    if len(known) < len(members):
        return None
    others = [(member, check) for member, check in members if member is not _NONE]
    tells = len(others) == 1 and (record_of(others[0][0]) is not None or is_value_type(others[0][0]))
    only = others[0][1] if tells else None

    def check(place: str, value: Any) -> str | None:
        if only is not None:
            return None if value is None else only(place, value)  # this names the field, or the form
        return _wrong(place, hint, value) if all(one(place, value) for one in known) else None

    return check


def _literal(allowed: Sequence[Any]) -> Check | None:
    if not all(one is None or type(one) in _PLAIN for one in allowed):
        return None  # members of enumerations are stored as what they stand for

    def check(place: str, value: Any) -> str | None:
        if any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed):
            return None
        return f"{place} must be one of {', '.join(map(repr, allowed))}, not {value!r:.80}"

    return check


def _list_of(hint: Any, item: Check | None, first: Sequence[Check | None] = ()) -> Check:
    texts_pass = is_among(get_origin(hint) or hint, (Sequence,))  # a text is a sequence of texts

    def check(place: str, value: Any) -> str | None:
        if texts_pass and isinstance(value, str | bytes):
            return None
        if not isinstance(value, list | tuple):
            return _wrong(place, hint, value)
        if item is None and not first:
            return None
        checks = chain(first, repeat(item))
        places = (f"{place}[{number}]" for number in range(len(value)))
        return first_wrong(zip(places, value, checks, strict=False))

    return check


def _mapping_of(hint: Any, item: Check | None) -> Check:
    def check(place: str, value: Any) -> str | None:
        if not isinstance(value, Mapping):
            return _wrong(place, hint, value)
        return first_wrong((f"{place}.{key}", one, item) for key, one in value.items()) if item else None

    return check
