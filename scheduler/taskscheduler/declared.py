"""Pure: what a job class says of its data, by the annotation of `data`: checked when it is added, made when it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from taskscheduler.annotations import DATA, Check, check_of, fields_check, hints_of
from taskscheduler.errors import InvalidArgumentsError


class DataDeclaration:
    """What the data of a job class are: `data: int`, or a TypedDict, a dataclass, or a model with `model_validate`."""

    def __init__(self, name: str, cls: type) -> None:
        self.name = name
        self.hint = hints_of(cls).get(DATA, Any)
        self._check: Check | None = None
        self._make: Callable[[Any], Any] | None = None
        if _is_model(self.hint):
            self._make = self.hint.model_validate
        elif isinstance(self.hint, type) and dataclasses.is_dataclass(self.hint):
            self._check = _dataclass_check(self.hint)
            self._make = _maker(self.hint)
        else:
            self._check = check_of(self.hint)

    def accept(self, data: Any) -> Any:
        """The data as they are to be stored; InvalidArgumentsError if they are not what is declared."""
        stored = data
        if self._make is not None and isinstance(data, self.hint):
            stored = data.model_dump() if _is_model(self.hint) else dataclasses.asdict(data)
        self.load(stored)
        return stored

    def load(self, data: Any) -> Any:
        """What the running job finds as its data; InvalidArgumentsError if they are not what is declared."""
        problem = self._check(DATA, data) if self._check is not None else None
        if problem is not None:
            raise InvalidArgumentsError(f"job {self.name}: {problem}")
        if self._make is None:
            return data
        try:
            return self._make(data)
        except Exception as error:  # code of the application: validators, __post_init__
            raise InvalidArgumentsError(f"job {self.name}: {_reason(error)}") from error


def _is_model(hint: Any) -> bool:
    """A pydantic model, or what looks like one."""
    return isinstance(hint, type) and callable(getattr(hint, "model_validate", None))


def _dataclass_check(kind: Any) -> Check:
    fields = [field for field in dataclasses.fields(kind) if field.init]
    hints = hints_of(kind)
    missing = dataclasses.MISSING
    needed = [field.name for field in fields if field.default is missing and field.default_factory is missing]
    return fields_check({field.name: hints.get(field.name, Any) for field in fields}, needed)


def _maker(kind: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Makes an instance of a dataclass from a mapping; fields that are dataclasses themselves as well."""
    hints = hints_of(kind)
    inner = {
        name: _maker(hint) for name, hint in hints.items() if isinstance(hint, type) and dataclasses.is_dataclass(hint)
    }

    def make(data: Mapping[str, Any]) -> Any:
        return kind(**{name: inner[name](value) if name in inner else value for name, value in data.items()})

    return make


def _reason(error: Exception) -> str:
    """What a model says is wrong, in one line."""
    try:
        found = error.errors()  # type: ignore[attr-defined]
        return "; ".join(f"argument {'.'.join(map(str, one['loc'])) or DATA}: {one['msg']}" for one in found[:5])
    except Exception:  # not what pydantic raises
        return f"{type(error).__name__}: {error}"
