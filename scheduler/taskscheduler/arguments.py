"""Pure: how the data of a job become the arguments of its function, and arguments the data of a job."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskscheduler.errors import InvalidArgumentsError

Given = tuple[Sequence[Any], Mapping[str, Any]]  #: arguments by position, arguments by name

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
_ALL_ONE_WAY = "give all of them by position or all by name"


class Declaration:
    """What a function that is a job takes."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.signature = inspect.signature(function)
        job = self.signature.parameters.get("job")
        self.wants_job = job is not None and job.kind is inspect.Parameter.KEYWORD_ONLY
        self._lent: dict[str, Any] = {"job": None} if self.wants_job else {}  #: what the worker adds

    def given(self, data: Any) -> Given:
        """The arguments that data stand for.

        A mapping that fits: by name; a list that fits: by position; None: none, if that fits; else the only one.
        """
        if isinstance(data, dict) and self._bound((), data) is not None:
            return (), data
        if isinstance(data, list) and self._bound(data, {}) is not None:
            return data, {}
        if data is None and self._bound((), {}) is not None:
            return (), {}
        return (data,), {}

    def data(self, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """The data that stand for just these arguments; InvalidArgumentsError if the function does not take them."""
        if self.wants_job and "job" in named:
            raise InvalidArgumentsError(f"job {self.name}: the argument job is given by the worker; leave it out")
        try:
            bound = self.signature.bind(*args, **named, **self._lent)
        except TypeError as error:
            raise InvalidArgumentsError(f"job {self.name} does not take these arguments: {error}") from None
        if args and named:
            return self._mixed(bound)
        return list(args) or dict(named) or None

    def _mixed(self, bound: inspect.BoundArguments) -> Any:
        """By name if every argument has one, else by position if every argument has one."""
        parameters = self.signature.parameters
        if all(parameters[name].kind in _BY_NAME for name in bound.arguments):
            return {name: value for name, value in _flat(bound).items() if name not in self._lent}
        if bound.kwargs.keys() <= self._lent.keys():
            return list(bound.args)
        raise InvalidArgumentsError(
            f"job {self.name} takes some of these arguments by position only and others by name only, "
            "which cannot be stored; let it take them in one way"
        )

    def _bound(self, args: Sequence[Any], named: Mapping[str, Any]) -> inspect.BoundArguments | None:
        try:
            return self.signature.bind(*args, **{**named, **self._lent})
        except TypeError:
            return None


def _flat(bound: inspect.BoundArguments) -> dict[str, Any]:
    """All arguments by name, those of `**kwargs` among them."""
    extra = next((p.name for p in bound.signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)
    named = {name: value for name, value in bound.arguments.items() if name != extra}
    return {**named, **(bound.arguments.get(extra, {}) if extra is not None else {})}


def undeclared(name: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """The data for a function that is not known here: a list, a mapping, or None for no argument."""
    if args and named:
        raise InvalidArgumentsError(f"job {name} is not known in this process; {_ALL_ONE_WAY}")
    return list(args) or dict(named) or None


def of_class(name: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """The data for a Job class, which takes one value: the only argument, or all that are given by name."""
    if len(args) > 1 or (args and named):
        raise InvalidArgumentsError(f"job {name} is a class, which takes one value or arguments by name, not more")
    return args[0] if args else dict(named) or None
