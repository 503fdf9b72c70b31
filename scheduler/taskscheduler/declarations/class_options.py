"""The job options that stand on a class or in its decorator: the defaults of that job."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from taskscheduler.declarations.type_checks import annotations_of
from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.batches.options import BATCH, BATCH_CHECKS, BATCH_WAIT, BatchOptions
from taskscheduler.model.checks import Check, checked, nearest
from taskscheduler.model.options import JOB_CHECKS, JobOptions
from taskscheduler.model.raised import ExceptionRules, exceptions
from taskscheduler.model.services import SERVICE_CHECKS

_OF_ONE_JOB = ("id", "parent")

#: solo is read from the class itself
_CHECKS: Mapping[str, Check] = {name: JOB_CHECKS[name] for name in JOB_CHECKS if name not in (*_OF_ONE_JOB, "solo")}

#: what stands on a class alone, since only the worker knows the exception
_RULES: Mapping[str, Check] = dict.fromkeys(ExceptionRules._fields, exceptions)

#: other names that people give to an option
_ALIASES = {
    "retries": "retry",
    "max_retries": "retry",
    "retry_delay": "retry_interval",
    "time_limit": "timeout",
    "batch_size": BATCH,
    "batch_timeout": BATCH_WAIT,
}

_LIKE = 0.75  #: a class may have attributes of its own whose names are less like an option than this

_ABSENT = object()

#: what the interpreter itself has under these names, whatever a metaclass defines
_bases_of = type.__dict__["__mro__"].__get__
_attributes_of = type.__dict__["__dict__"].__get__


class _Attributes:
    """Reads the attributes of a class, and runs no code of it."""

    def __init__(self, cls: type) -> None:
        self._cls = cls
        # getattr_static takes 20 us for a name that is nowhere, and a class has few of the many names of options
        places = [entry for kind in (cls, type(cls), type(type(cls))) for entry in _bases_of(kind)]
        self._names = {name for place in places for name in _attributes_of(place)}

    def value(self, name: str) -> Any:
        """Returns the value of an attribute if it may be an option, else _ABSENT."""
        if name not in self._names:
            return _ABSENT
        value = inspect.getattr_static(self._cls, name, _ABSENT)
        return _ABSENT if callable(value) or hasattr(type(value), "__get__") else value

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """Returns those of `names` that may be options."""
        return {name: value for name in names if (value := self.value(name)) is not _ABSENT}


def decorated_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of a decorator; InvalidOptionError for an unknown one or a wrong value."""
    _refuse_those_of_one_job(given)
    options = checked(given, {**_CHECKS, **BATCH_CHECKS})
    JobOptions.of(_but_batch(options))  # whether they fit together
    BatchOptions.of(options)
    return options


def _but_batch(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in BATCH_CHECKS}


def class_options(cls: type, is_service: bool) -> dict[str, Any]:
    """Returns the options that stand on a class or are inherited by it, checked.

    Methods, properties and other descriptors, functions and classes are attributes of its own. InvalidOptionError for
    an option that the class cannot have, for a wrong value, and for a plain attribute that is nearly named like one.
    """
    known = SERVICE_CHECKS if is_service else _CHECKS
    try:
        attributes = _Attributes(cls)
        _refuse_those_of_one_job(attributes.values(_OF_ONE_JOB))
        if is_service:
            _refuse_those_of_plain_jobs(attributes)
        _refuse_near_misses(cls, attributes, known if is_service else {**known, **_RULES, **BATCH_CHECKS})
        options = checked(attributes.values(known), known)
        if not is_service:
            JobOptions.of(options)  # whether they fit together
        return options
    except InvalidOptionError as error:
        raise InvalidOptionError(f"the job class {cls.__qualname__}: {error}") from None


def batch_options(cls: type, is_service: bool, options: Mapping[str, Any]) -> BatchOptions | None:
    """Returns how many jobs of a class run at once, beside its other `options`; None if each runs by itself.

    InvalidOptionError for a wrong value, and for a class of which no two jobs can run in one worker.
    """
    given = {name: value for name, value in _Attributes(cls).values(BATCH_CHECKS).items() if value is not None}
    try:
        if given and is_service:
            raise InvalidOptionError(f"a service has no option {next(iter(given))}: each runs for ever, by itself")
        batch = BatchOptions.of(given)
        if batch is not None and options.get("force_spawn"):
            raise InvalidOptionError("option batch does not go with force_spawn, by which each job has its own worker")
        if batch is not None and inspect.getattr_static(cls, "solo", False):
            raise InvalidOptionError("option batch does not go with solo, by which one job runs at a time")
        return batch
    except InvalidOptionError as error:
        raise InvalidOptionError(f"the job class {cls.__qualname__}: {error}") from None


def exception_rules(cls: type, is_service: bool) -> ExceptionRules:
    """Returns after which exceptions a job of this class is tried again, or not. InvalidOptionError for other values.

    Unlike an option it cannot be the name of something else: a method of this name would mean nothing.
    """
    try:
        rules = ExceptionRules.of({name: inspect.getattr_static(cls, name, ()) for name in _RULES})
        for name in rules.names() if is_service else ():
            raise InvalidOptionError(f"a service has no option {name}; its option restart decides")
        return rules
    except InvalidOptionError as error:
        raise InvalidOptionError(f"the job class {cls.__qualname__}: {error}") from None


def _refuse_those_of_one_job(given: Mapping[str, Any]) -> None:
    for name in _OF_ONE_JOB:
        if given.get(name) is not None:
            raise InvalidOptionError(f"option {name} belongs to a single job; give it where the job is added")


def _refuse_those_of_plain_jobs(attributes: _Attributes) -> None:
    for name in attributes.values(_CHECKS):
        if name not in SERVICE_CHECKS:
            raise InvalidOptionError(f"a service has no option {name}; it takes {', '.join(SERVICE_CHECKS)}")


def _refuse_near_misses(cls: type, attributes: _Attributes, known: Mapping[str, Check]) -> None:
    """Looks at what the class itself defines without an annotation: an attribute with one is meant as it is."""
    aliases = {name: meant for name, meant in _ALIASES.items() if meant in known}
    meant = {"name", *JOB_CHECKS, *known, *annotations_of(cls)}
    for name in vars(cls):
        if name in meant or name.startswith("_") or not name.islower():  # TIMEOUT is a constant of the class
            continue
        value = attributes.value(name)
        near = None if value is _ABSENT else nearest(name, known, aliases, _LIKE)
        if near is not None and _fits(value, near, known[near]):
            raise InvalidOptionError(
                f"invalid option {name} given; did you mean {near}? "
                f"If it is an attribute of your own, annotate it: {name}: {type(value).__name__} = ..."
            )


def _fits(value: Any, name: str, check: Check) -> bool:
    try:
        check(name, value)
    except InvalidOptionError:
        return False
    return True
