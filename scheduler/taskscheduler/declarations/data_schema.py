"""The data of a Job class by the annotation of `data`: a plain type, a TypedDict, a dataclass or a model."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Union, get_args, get_origin

from taskscheduler.declarations.type_checks import DATA, Check, check_of, deeply, fields_check, hints_of, inside
from taskscheduler.errors import InvalidArgumentsError


class DataSchema:
    """Checks the data when a job is added, and makes the dataclass or model of them when it runs."""

    def __init__(self, name: str, cls: type) -> None:
        self.name = name
        self.hint = hints_of(cls).get(DATA, Any)
        self._check: Check | None = None
        self._make: Callable[[Any], Any] | None = None
        if _is_model(self.hint):
            self._make = self.hint.model_validate
        elif isinstance(self.hint, type) and dataclasses.is_dataclass(self.hint):
            self._make = lambda data: _made(DATA, self.hint, data)
        else:
            self._check = check_of(self.hint)

    def accept(self, data: Any) -> Any:
        """Returns the data as they are stored; InvalidArgumentsError if they do not fit the declaration."""
        stored = data
        if self._make is not None and isinstance(data, self.hint):
            stored = data.model_dump() if _is_model(self.hint) else dataclasses.asdict(data)
        self.load(stored)
        return stored

    def load(self, data: Any) -> Any:
        """Returns the data of the running job; InvalidArgumentsError if they do not fit the declaration."""
        check = self._check
        problem = None if check is None else deeply(lambda: check(DATA, data))
        if problem is not None:
            raise InvalidArgumentsError(f"job {self.name}: {problem}")
        if self._make is None:
            return data
        try:
            return self._make(data)
        except Exception as error:  # code of the application: validators, __post_init__
            raise InvalidArgumentsError(f"job {self.name}: {_reason(error)}") from error


def _is_model(hint: Any) -> bool:
    """Returns whether this is a pydantic model, or looks like one."""
    return isinstance(hint, type) and callable(getattr(hint, "model_validate", None))


@cache
def _fields(kind: Any) -> tuple[Check, Mapping[str, Any]]:
    """Returns the check of the fields of a dataclass, and their annotations."""
    fields = [field for field in dataclasses.fields(kind) if field.init]
    hints = hints_of(kind)
    missing = dataclasses.MISSING
    needed = [field.name for field in fields if field.default is missing and field.default_factory is missing]
    return fields_check({field.name: hints.get(field.name, Any) for field in fields}, needed), hints


class _MisfitError(Exception):
    """Data that no instance can be made of; the message says why."""


def _made(place: str, hint: Any, value: Any) -> Any:
    """Returns the value with dataclasses in place of mappings, also in lists, mappings and unions with None.

    Values of other unions stay as they are: any member may be meant.
    """
    origin, given = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _instance(place, hint, value)
    if origin in (Union, types.UnionType) and value is not None:
        meant = [one for one in given if one is not type(None)]
        return _made(place, meant[0], value) if len(meant) == 1 else value
    if origin is list and isinstance(value, list):
        return [_made(f"{place}[{number}]", given[0], one) for number, one in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {name: _made(f"{place}.{name}", given[1], one) for name, one in value.items()}
    return value


def _instance(place: str, kind: Any, value: Any) -> Any:
    check, hints = _fields(kind)
    if isinstance(value, Mapping):  # derived fields are stored with the instance, and derived again
        own = {field.name for field in dataclasses.fields(kind) if not field.init}
        value = {name: one for name, one in value.items() if name not in own}
    problem = check(place, value)
    if problem is not None:
        raise _MisfitError(problem)
    return kind(**{name: _made(inside(place, name), hints.get(name, Any), one) for name, one in value.items()})


def _reason(error: Exception) -> str:
    """Returns the objections of a model in one line."""
    if isinstance(error, _MisfitError):
        return str(error)
    try:
        found = error.errors()  # type: ignore[attr-defined]
        return "; ".join(f"argument {'.'.join(map(str, one['loc'])) or DATA}: {one['msg']}" for one in found[:5])
    except Exception:  # not what pydantic raises
        return f"{type(error).__name__}: {error}"
