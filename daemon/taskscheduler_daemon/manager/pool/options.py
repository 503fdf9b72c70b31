"""The options of a pool: static, dynamic or ondemand, its limits, and when workers are replaced."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import checked, integer, seconds

logger = logging.getLogger(__name__)

LEAST_GROWTH = 1024 * 1024

_LEAST_FORCED = 16


class ProcessManagement(StrEnum):
    """The ways in which a manager chooses the number of its workers."""

    DYNAMIC = "dynamic"  #: min_children at start, more when jobs wait, up to max_children
    STATIC = "static"  #: always min_children
    ONDEMAND = "ondemand"  #: none at start; one worker per job, at most max_children, which ends after it


def _process_management(_name: str, value: Any) -> ProcessManagement:
    try:
        return ProcessManagement(value)
    except ValueError:
        message = f"{value} is not a valid process handling type (static, dynamic, ondemand)"
        raise InvalidOptionError(message) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """How many workers a manager keeps. Build it with `PoolOptions.of`, which validates."""

    pm: ProcessManagement = ProcessManagement.DYNAMIC
    min_children: int = 1  #: workers at start (dynamic), or always (static)
    max_children: int = 2  #: upper limit (dynamic, ondemand); max_forced comes on top
    max_forced: int = 0  #: how many force_spawn jobs and services run at once; 0: see forced_limit
    async_jobs: int = 100  #: how many async jobs one worker runs at once; 0, and ondemand: one, like any other job
    worker_max_jobs: int = 0  #: a worker is replaced after so many jobs; 0: never, as for the two below
    worker_max_age: float = 0  #: seconds after which a worker is replaced
    worker_max_growth: int = 0  #: bytes by which a worker's own memory may grow before it is replaced
    idle_ttl: float = 60  #: seconds without work after which a worker above min_children ends (dynamic); 0: never

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Validates options; InvalidOptionError for an unknown name or a bad value."""
        options = cls(**checked(given, POOL_CHECKS))
        if options.pm is ProcessManagement.DYNAMIC and options.min_children > options.max_children:
            raise InvalidOptionError("option min_children must not be greater than option max_children")
        is_static = options.pm is ProcessManagement.STATIC
        if is_static and "max_children" in given and options.max_children != options.min_children:
            logger.warning("max_children has no effect with pm static: there are min_children=%d", options.min_children)
        return options

    def describe(self) -> str:
        """Returns how many workers there are, in a few words."""
        if self.pm is ProcessManagement.STATIC:
            return f"{self.min_children} {self.pm}"
        least = self.min_children if self.pm is ProcessManagement.DYNAMIC else 0
        return f"{least} to {self.max_children} {self.pm}"

    @property
    def slots(self) -> int:
        """How many jobs can run at once, forced and async ones apart."""
        return self.min_children if self.pm is ProcessManagement.STATIC else self.max_children

    @property
    def forced_limit(self) -> int:
        """How many jobs can run at once in workers of their own: by default four for each slot, and at least 16."""
        return self.max_forced or max(_LEAST_FORCED, 4 * self.slots)

    @property
    def async_limit(self) -> int:
        """How many async jobs a worker runs in its event loop; 0: it has none, and they run like others."""
        return 0 if self.pm is ProcessManagement.ONDEMAND else self.async_jobs


def finite_limit(check: Callable[..., Any], name: str, value: Any, **bounds: float) -> Any:
    """Accepts 0 for no limit, else a value within these bounds."""
    return check(name, value, **(bounds if value or isinstance(value, bool) else {"least": 0}))


POOL_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "pm": _process_management,
    "min_children": lambda name, value: integer(name, value, least=0, most=10_000),
    "max_children": lambda name, value: integer(name, value, least=1, most=10_000),
    "max_forced": lambda name, value: integer(name, value, least=0, most=10_000),
    "async_jobs": lambda name, value: integer(name, value, least=0, most=10_000),
    "worker_max_jobs": lambda name, value: integer(name, value, least=0),
    "worker_max_age": seconds,
    "worker_max_growth": lambda name, value: finite_limit(integer, name, value, least=LEAST_GROWTH, most=2**50),
    "idle_ttl": seconds,
}
