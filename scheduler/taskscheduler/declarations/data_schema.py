"""The data of a Job class by the annotation of `data`: a plain type, a TypedDict, a dataclass or a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskscheduler.declarations.conversions import made, needs_conversion, reason, stored
from taskscheduler.declarations.type_checks import DATA, check_of, deeply, hints_of
from taskscheduler.errors import InvalidArgumentsError


class DataSchema:
    """Checks the data when a job is added, and makes the dataclasses and models of them when it runs."""

    def __init__(self, name: str, cls: type) -> None:
        self.name = name
        self.hint = hints_of(cls).get(DATA, Any)
        self._check = check_of(self.hint)
        self._converts = needs_conversion(self.hint)

    def accept(self, data: Any) -> Any:
        """Returns the data as they are stored; InvalidArgumentsError if they do not fit the declaration."""
        if self._converts:
            data = self._converted(stored, data)
        self.load(data)
        return data

    def load(self, data: Any) -> Any:
        """Returns the data of the running job; InvalidArgumentsError if they do not fit the declaration."""
        check = self._check
        problem = None if check is None else deeply(lambda: check(DATA, data))
        if problem is not None:
            raise InvalidArgumentsError(f"job {self.name}: {problem}")
        return self._converted(made, data) if self._converts else data

    def _converted(self, convert: Callable[[Any, Any], Any], data: Any) -> Any:
        try:
            return convert(self.hint, data)
        except Exception as error:  # code of the application: validators, __post_init__
            raise InvalidArgumentsError(f"job {self.name}: {reason(error)}") from error
