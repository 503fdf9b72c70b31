"""Decides what may be set on a queue node and on its pool of workers, checked once where it is given."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from taskscheduler.errors import InvalidOptionError
from taskscheduler.options import checked, integer, names, queue_name, seconds

LEAST_MEMORY = 64 * 1024 * 1024  #: a worker takes about 40 MB before it runs anything
LEAST_GROWTH = 1024 * 1024
LEAST_FILES = 16
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


class ProcessManagement(StrEnum):
    """How the manager decides how many workers there are."""

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
    max_children: int = 2  #: upper limit (dynamic, ondemand); force_spawn jobs come on top
    async_jobs: int = 100  #: how many async jobs one worker runs at once; 0, and ondemand: one, as of all others
    worker_max_jobs: int = 0  #: a worker is replaced after so many jobs; 0: never, as for the two below
    worker_max_age: float = 0  #: seconds after which a worker is replaced
    worker_max_growth: int = 0  #: bytes by which a worker's own memory may grow before it is replaced
    idle_ttl: float = 60  #: seconds without work after which a worker above min_children ends (dynamic); 0: never

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        options = cls(**checked(given, POOL_CHECKS))
        if options.pm is ProcessManagement.DYNAMIC and options.min_children > options.max_children:
            raise InvalidOptionError("option min_children must not be greater than option max_children")
        return options

    @property
    def slots(self) -> int:
        """How many jobs can run at once, forced and async ones apart."""
        return self.min_children if self.pm is ProcessManagement.STATIC else self.max_children

    @property
    def async_limit(self) -> int:
        """How many async jobs a worker runs in its event loop; 0: it has none, and they run as others do."""
        return 0 if self.pm is ProcessManagement.ONDEMAND else self.async_jobs


def _module(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _MODULE.fullmatch(value):
        raise InvalidOptionError(f"option {name} must name modules like myapp.jobs, not {value!r}")
    return value


def _node_name(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 120 or not value.isprintable():
        raise InvalidOptionError(f"option {name} must be a printable name of at most 120 characters")
    return value


def _limit(check: Callable[..., Any], name: str, value: Any, **bounds: float) -> Any:
    """0 for no limit, else a value within these bounds."""
    return check(name, value, **(bounds if value or isinstance(value, bool) else {"least": 0}))


POOL_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "pm": _process_management,
    "min_children": lambda name, value: integer(name, value, least=0, most=10_000),
    "max_children": lambda name, value: integer(name, value, least=1, most=10_000),
    "async_jobs": lambda name, value: integer(name, value, least=0, most=10_000),
    "worker_max_jobs": lambda name, value: integer(name, value, least=0),
    "worker_max_age": seconds,
    "worker_max_growth": lambda name, value: _limit(integer, name, value, least=LEAST_GROWTH, most=2**50),
    "idle_ttl": seconds,
}

NODE_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "name": _node_name,
    "queues": names(queue_name),
    "jobs": names(_module),
    "orphaned_timeout": lambda name, value: seconds(name, value, least=0.5),
    "stop_timeout": seconds,
    "kill_grace": seconds,
    "max_jobs": lambda name, value: integer(name, value, least=0),
    "max_lost": lambda name, value: integer(name, value, least=1),
    "max_memory": lambda name, value: _limit(integer, name, value, least=LEAST_MEMORY, most=2**50),
    "max_cpu": lambda name, value: _limit(seconds, name, value, least=0.1),
    "max_files": lambda name, value: _limit(integer, name, value, least=LEAST_FILES),
    "max_processes": lambda name, value: integer(name, value, least=0),
}


def default_name() -> str:
    """The host and the process: unique among the nodes of a cluster that run now."""
    return f"{socket.gethostname()}-{os.getpid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """How a queue node behaves. Build it with `NodeOptions.of`, which validates."""

    name: str = ""  #: what people see; default: host and process id
    queues: tuple[str, ...] = ()  #: the queues it serves; none: all
    jobs: tuple[str, ...] = ()  #: modules whose import registers the jobs that it runs
    orphaned_timeout: float | None = None  #: lease in seconds; default: the scheduler's option
    stop_timeout: float = 10  #: seconds that running jobs get to finish after SIGTERM
    kill_grace: float = 0.5  #: seconds between SIGTERM and SIGKILL for a job that must end
    max_jobs: int = 0  #: end after so many jobs; 0: never
    max_lost: int = 3  #: set a job aside that lost so many workers or nodes
    max_memory: int = 0  #: bytes that a worker may use; 0: no limit, as for those below
    max_cpu: float = 0  #: CPU seconds that one job may use
    max_files: int = 0  #: descriptors that a worker may have open
    max_processes: int = 0  #: processes and threads that this user may have while a worker starts one

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        return cls(**{"name": default_name(), **checked(given, NODE_CHECKS)})


def split(given: Mapping[str, Any]) -> tuple[NodeOptions, PoolOptions]:
    """Node and pool options from one set of keywords; InvalidOptionError for an unknown name or a bad value."""
    pool = {name: value for name, value in given.items() if name in POOL_CHECKS}
    rest = {name: value for name, value in given.items() if name not in POOL_CHECKS}
    return NodeOptions.of(rest), PoolOptions.of(pool)
