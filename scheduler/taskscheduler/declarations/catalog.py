"""The catalog of registered jobs: the name of each, its arguments and options, and the purpose in its docstring."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from taskscheduler.declarations.data_schema import DataSchema
from taskscheduler.declarations.registry import REGISTRY, JobSpec
from taskscheduler.declarations.signature import Signature
from taskscheduler.declarations.type_checks import DATA, hints_of, required_keys


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a job, with its type and default as in the source; "" for none."""

    name: str
    type: str
    default: str
    required: bool

    def __str__(self) -> str:
        default = f" = {self.default}" if self.type else f"={self.default}"
        return self.name + (f": {self.type}" if self.type else "") + (default if self.default else "")


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One registered job."""

    name: str
    parameters: tuple[Parameter, ...]
    description: str  #: the first line of its docstring
    options: Mapping[str, Any]  #: those that stand on the class or in the decorator


def catalog() -> list[Entry]:
    """Returns all registered jobs, by name."""
    specs = (REGISTRY.find(name) for name in REGISTRY.names())
    return [entry_of(spec) for spec in specs if spec is not None]


def entry_of(spec: JobSpec) -> Entry:
    """Describes one job."""
    doc = inspect.cleandoc(str(spec.cls.__dict__.get("__doc__") or "")).splitlines()
    batch = {} if spec.batch is None else spec.batch.shown()
    options = {**spec.options, **batch, **({"solo": spec.solo} if spec.solo else {}), **spec.rules.names()}
    return Entry(spec.name, tuple(_parameters_of(spec)), doc[0] if doc else "", options)


def _parameters_of(spec: JobSpec) -> Iterator[Parameter]:
    if spec.signature is not None:
        yield from _of_function(spec.signature)
    elif spec.data_schema is not None:
        yield from _of_class(spec.data_schema)


def _of_function(declared: Signature) -> Iterator[Parameter]:
    for one in declared.parameters:
        star = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
        hint = declared.hints.get(one.name, one.annotation)
        has_default = one.default is not one.empty
        default = repr(one.default) if has_default else ""
        yield Parameter(star + one.name, _named(hint), default, not has_default and not star)


def _of_class(declared: DataSchema) -> Iterator[Parameter]:
    hint = declared.hint
    if typing.is_typeddict(hint):
        for name, kind in hints_of(hint).items():
            yield Parameter(name, _named(kind), "", name in required_keys(hint))
    elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
        yield from _of_dataclass(hint)
    elif hint is not Any:
        yield Parameter(DATA, _named(hint), "", True)


def _of_dataclass(kind: type) -> Iterator[Parameter]:
    hints, missing = hints_of(kind), dataclasses.MISSING
    for field in dataclasses.fields(kind):
        made = "..." if field.default_factory is not missing else ""
        default = repr(field.default) if field.default is not missing else made
        if field.init:
            yield Parameter(field.name, _named(hints.get(field.name, field.type)), default, not default)


def _named(hint: Any) -> str:
    """Returns a type as one would write it; "" for none."""
    if hint is inspect.Parameter.empty:
        return ""
    return hint if isinstance(hint, str) else inspect.formatannotation(hint)
