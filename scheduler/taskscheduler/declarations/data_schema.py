"""The data of a Job class by the annotation of `data`: a plain type, a TypedDict, a dataclass or a model."""

from __future__ import annotations

from typing import Any

from taskscheduler.declarations.conversions import made, needs_conversion, reason
from taskscheduler.declarations.type_checks import DATA, check_of, deeply, first_wrong
from taskscheduler.errors import InvalidArgumentsError
from taskscheduler.model.payload import stored_form


class DataSchema:
    """Checks the data when a job is added, and makes the declared values of them when it runs."""

    def __init__(self, name: str, hint: Any) -> None:
        """`hint` is the declared type."""
        self.name = name
        self.hint = hint
        self._check = check_of(hint)
        self._converts = needs_conversion(hint)

    def accept(self, data: Any) -> Any:
        """Returns the data as they are stored; InvalidArgumentsError if they do not fit the declaration."""
        if self._converts:
            data = stored_form(f"the data of job {self.name}", DATA, data)
        self.load(data)
        return data

    def accept_pending(self, data: Any) -> Any:
        """Does the same for data of which some are not known yet, and all others in their stored form."""
        self._fit(data)
        return data

    def load(self, data: Any) -> Any:
        """Returns the data of the running job; InvalidArgumentsError if they do not fit the declaration."""
        if self._check is not None:
            self._fit(data)
        return self._made(data) if self._converts else data

    def _fit(self, data: Any) -> None:
        problem = deeply(lambda: first_wrong([(DATA, data, self._check)]))
        if problem is not None:
            raise InvalidArgumentsError(f"job {self.name}: {problem}")

    def _made(self, data: Any) -> Any:
        try:
            return made(self.hint, data)
        except Exception as error:  # code of the application: validators, __post_init__
            raise InvalidArgumentsError(f"job {self.name}: {reason(error)}") from error
