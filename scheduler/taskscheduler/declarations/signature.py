"""Turns the data of a `@job` function into its arguments, and arguments into data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

from taskscheduler.declarations.conversions import made, needs_conversion, reason
from taskscheduler.declarations.type_checks import (
    ARGUMENT,
    DATA,
    Check,
    check_of,
    deeply,
    first_wrong,
    hints_of,
    misnamed,
)
from taskscheduler.errors import InvalidArgumentsError
from taskscheduler.model.payload import stored_form

Given = tuple[Sequence[Any], Mapping[str, Any]]  #: arguments by position, arguments by name

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

_SPREAD = (dict, list, type(None))  #: data that may stand for several arguments, or for none

_ALONE = (str, int, float, bytes)  #: other data that are stored as they are

_ALL_ONE_WAY = "give all of them by position or all by name"


class Signature:
    """The arguments that a `@job` function takes."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.signature = inspect.signature(function)
        job = self.signature.parameters.get("job")
        self.wants_job = job is not None and job.kind is inspect.Parameter.KEYWORD_ONLY
        self._added: dict[str, Any] = {"job": None} if self.wants_job else {}  #: the arguments that the worker adds
        self.hints = hints_of(function)
        self._checks = self._make_checks()
        #: annotations in which a type stands that is stored in another form
        self._conversions = {
            name: hint for name, hint in self.hints.items() if name not in self._added and needs_conversion(hint)
        }

    def _make_checks(self) -> dict[str, Check]:
        found = {}
        for name, parameter in self.signature.parameters.items():
            check = check_of(self.hints[name]) if name in self.hints and name not in self._added else None
            if check is not None:
                found[name] = _or_none(check) if parameter.default is None else check
        return found

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """The parameters that the data fill: all but the running job."""
        return [one for name, one in self.signature.parameters.items() if name not in self._added]

    def accept(self, data: Any) -> Any:
        """Returns the data as they are stored; InvalidArgumentsError if the function does not take them."""
        plain = dict(data) if isinstance(data, Mapping) else list(data) if isinstance(data, tuple) else data
        if self._conversions or not isinstance(plain, (*_SPREAD, *_ALONE)):
            data = plain = self._stored(plain)
        self.load(plain)
        return data

    def accept_pending(self, data: Any) -> Any:
        """Does the same for data of which some are not known yet, and all others in their stored form."""
        self.given(list(data) if isinstance(data, tuple) else data)
        return data

    def load(self, data: Any) -> Given:
        """Returns the arguments for the running job; InvalidArgumentsError if the function does not take them."""
        given = self.given(data)
        return self._made(given) if self._conversions else given

    def _stored(self, data: Any) -> Any:
        """Returns the data in their stored form, as arguments of the same kind."""
        found = stored_form(f"the data of job {self.name}", DATA, data)
        # the form of one argument may look like several: an instance like arguments by name, a set like a list of them
        return found if isinstance(data, _SPREAD) or not isinstance(found, _SPREAD) else [found]

    def _made(self, given: Given) -> Given:
        """Makes each argument as its annotation says."""
        args, named = given
        known, names = self.signature.parameters, {one.kind: one.name for one in self.parameters}
        rest, extra = names.get(inspect.Parameter.VAR_POSITIONAL), names.get(inspect.Parameter.VAR_KEYWORD)
        places = chain((one.name for one in self.parameters if one.kind in _BY_PLACE), repeat(rest))

        def one(name: str | None, value: Any) -> Any:
            return made(self._conversions.get(name or "", Any), value)

        try:
            return (
                [one(name, value) for name, value in zip(places, args, strict=False)],
                {name: one(name if name in known else extra, value) for name, value in named.items()},
            )
        except Exception as error:  # code of the application: validators, __post_init__
            raise InvalidArgumentsError(f"job {self.name}: {reason(error)}") from error

    def given(self, data: Any) -> Given:
        """Returns the arguments that data stand for; InvalidArgumentsError if the function does not take them.

        A mapping that fits: by name; a list that fits: by position; None: none, if that fits; else the only one.
        """
        readings = _readings(data)
        given, bound = next(
            ((given, bound) for given in readings if (bound := self._bound(*given)) is not None), (readings[-1], None)
        )
        problem = "it does not take these data" if bound is None else self._mistyped(bound)
        if problem is None:
            return given
        if given is readings[-1]:  # the likelier reading did not even fit
            problem = self._misfit(data) or problem
        raise InvalidArgumentsError(f"job {self.name}: {problem}")

    def _mistyped(self, bound: inspect.BoundArguments) -> str | None:
        values = (
            (ARGUMENT + name, value, check)
            for name, check in self._checks.items()
            if name in bound.arguments
            for value in _values(self.signature.parameters[name], bound.arguments[name])
        )
        return deeply(lambda: first_wrong(values))

    def _misfit(self, data: Any) -> str | None:
        """Returns why a mapping, a list or nothing does not become the arguments."""
        if isinstance(data, dict):
            free = any(one.kind is one.VAR_KEYWORD for one in self.parameters)
            names = [one.name for one in self.parameters if one.kind in _BY_NAME and one.kind is not one.VAR_KEYWORD]
            return misnamed(data, [*names, *data] if free else names, self._needed())
        if isinstance(data, list):
            return f"it takes {_counted(self.parameters)}, not {len(data)}"
        return f"argument {self._needed()[0]} is missing" if data is None and self._needed() else None

    def _needed(self) -> list[str]:
        optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return [one.name for one in self.parameters if one.default is one.empty and one.kind not in optional]

    def data(self, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """Returns the data for just these arguments; InvalidArgumentsError if the function does not take them."""
        if self.wants_job and "job" in named:
            raise InvalidArgumentsError(f"job {self.name}: the argument job is given by the worker; leave it out")
        try:
            bound = self.signature.bind(*args, **named, **self._added)
        except TypeError as error:
            raise InvalidArgumentsError(f"job {self.name} does not take these arguments: {error}") from None
        if args and named:
            return self._mixed(bound)
        return list(args) or dict(named) or None

    def _mixed(self, bound: inspect.BoundArguments) -> Any:
        """Returns the arguments by name if each has a name, else by position if each has one."""
        parameters = self.signature.parameters
        if all(parameters[name].kind in _BY_NAME for name in bound.arguments):
            return {name: value for name, value in _flat(bound).items() if name not in self._added}
        if bound.kwargs.keys() <= self._added.keys():
            return list(bound.args)
        raise InvalidArgumentsError(
            f"job {self.name} takes some of these arguments by position only and others by name only, "
            "which cannot be stored; let it take them in one way"
        )

    def _bound(self, args: Sequence[Any], named: Mapping[str, Any]) -> inspect.BoundArguments | None:
        try:
            return self.signature.bind(*args, **{**named, **self._added})
        except TypeError:
            return None


def _flat(bound: inspect.BoundArguments) -> dict[str, Any]:
    """Returns all arguments by name, also those of `**kwargs`."""
    extra = next((p.name for p in bound.signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)
    named = {name: value for name, value in bound.arguments.items() if name != extra}
    return {**named, **(bound.arguments.get(extra, {}) if extra is not None else {})}


def _readings(data: Any) -> list[Given]:
    """Returns the ways to read data as arguments, the last one being a single argument."""
    spread: list[Given] = []
    if isinstance(data, dict):
        spread = [((), data)]
    elif isinstance(data, list):
        spread = [(data, {})]
    elif data is None:
        spread = [((), {})]
    return [*spread, ((data,), {})]


def _values(parameter: inspect.Parameter, bound: Any) -> Iterable[Any]:
    """Returns the single values of a parameter."""
    if parameter.kind is parameter.VAR_POSITIONAL:
        return tuple(bound)
    return tuple(bound.values()) if parameter.kind is parameter.VAR_KEYWORD else (bound,)


def _or_none(check: Check) -> Check:
    """Returns a check that also accepts None, which the default allows."""
    return lambda place, value: None if value is None else check(place, value)


def _counted(parameters: Sequence[inspect.Parameter]) -> str:
    """Returns how many arguments there may be by position."""
    places = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    least = sum(one.default is one.empty for one in places)
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return f"{least} arguments or more"
    return f"{least} arguments" if least == len(places) else f"{least} to {len(places)} arguments"


def undeclared(name: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Returns the data for a function that is not known here: a list, a mapping, or None for no argument."""
    if args and named:
        raise InvalidArgumentsError(f"job {name} is not known in this process; {_ALL_ONE_WAY}")
    return list(args) or dict(named) or None


def of_class(name: str, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Returns the data for a Job class, which takes one value: the only argument, or all arguments given by name."""
    if len(args) > 1 or (args and named):
        raise InvalidArgumentsError(f"job {name} is a class, which takes one value or arguments by name, not more")
    return args[0] if args else dict(named) or None
