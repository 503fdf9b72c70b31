"""NodeOptions: the options of a queue node and of its pool of workers, checked once where they are given."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from taskscheduler.declarations.schedules import DeclaredSchedule
from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.checks import boolean, checked, integer, names, queue_name, seconds
from taskscheduler.tracing import traced
from taskscheduler_daemon.manager.pool.options import POOL_CHECKS, PoolOptions, finite_limit

LEAST_MEMORY = 64 * 1024 * 1024  #: a worker takes about 40 MB before it runs anything

LEAST_FILES = 16

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def _module(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _MODULE.fullmatch(value):
        raise InvalidOptionError(f"option {name} must name modules like myapp.jobs, not {value!r}")
    return value


def _label(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 120 or not value.isprintable():
        raise InvalidOptionError(f"option {name} must be a printable {name} of at most 120 characters")
    return value


def _host(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 255 or not value.isprintable():
        raise InvalidOptionError(f"option {name} must be an address to listen on, such as 0.0.0.0, not {value!r:.60}")
    return value


NODE_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "name": _label,
    "version": _label,
    "queues": names(queue_name),
    "jobs": names(_module),
    "orphaned_timeout": lambda name, value: seconds(name, value, least=0.5),
    "stop_timeout": seconds,
    "kill_grace": seconds,
    "keep_children": boolean,
    "capture": boolean,
    "echo": boolean,
    "max_jobs": lambda name, value: integer(name, value, least=0),
    "max_lost": lambda name, value: integer(name, value, least=1),
    "progress_rate_limit": lambda name, value: integer(name, value, least=0),
    "unknown_timeout": seconds,
    "tracing": traced,
    "metrics_port": lambda name, value: integer(name, value, least=0, most=65535),
    "metrics_host": _host,
    "max_memory": lambda name, value: finite_limit(integer, name, value, least=LEAST_MEMORY, most=2**50),
    "max_cpu": lambda name, value: finite_limit(seconds, name, value, least=0.1),
    "max_files": lambda name, value: finite_limit(integer, name, value, least=LEAST_FILES),
    "max_processes": lambda name, value: integer(name, value, least=0),
}


def default_name() -> str:
    """Returns host and process id: unique among the nodes of a cluster that run now."""
    return f"{socket.gethostname()}-{os.getpid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """How a queue node behaves. Build it with `NodeOptions.of`, which validates."""

    name: str = ""  #: display name; default: host and process id
    version: str = ""  #: of the code that it runs, for people; default: that of the distribution of its job modules
    queues: tuple[str, ...] = ()  #: the queues it serves; none: all
    jobs: tuple[str, ...] = ()  #: modules whose import registers the jobs that it runs
    orphaned_timeout: float | None = None  #: lease in seconds; default: the scheduler's option
    stop_timeout: float = 10  #: seconds that running jobs get to finish after SIGTERM
    kill_grace: float = 0.5  #: seconds between SIGTERM and SIGKILL for a job that must end
    keep_children: bool = False  #: whether the processes that a job leaves running live as long as its worker
    capture: bool = True  #: whether what jobs print is stored with what they log
    echo: bool = False  #: whether the node also prints what jobs print, each line after its job
    max_jobs: int = 0  #: end after so many jobs; 0: never
    max_lost: int = 3  #: a job fails after it was charged with the loss of this many workers or nodes
    unknown_timeout: float = 3600  #: seconds that a job waits for a node that knows its class; 0: it fails at once
    progress_rate_limit: int | None = None  #: milliseconds; default: the scheduler's option
    tracing: bool = False  #: whether attempts make spans for OpenTelemetry
    metrics_port: int | None = None  #: the port for Prometheus and probes; 0: any free one; None: none
    metrics_host: str = "127.0.0.1"  #: the address on which it listens there
    max_memory: int = 0  #: bytes that a worker may use; 0: no limit, as for those below
    max_cpu: float = 0  #: CPU seconds that one job may use
    max_files: int = 0  #: descriptors that a worker may have open
    max_processes: int = 0  #: processes and threads that this user may have while a worker starts one
    known: tuple[str, ...] | None = None  #: the names of the jobs that it knows; None if only its factory knows
    schedules: tuple[DeclaredSchedule, ...] = ()  #: that its job modules declare
    read_at: float = 0  #: when its job modules were read, by the monotonic clock

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Checks options and completes them with defaults; raises InvalidOptionError."""
        return cls(**{"name": default_name(), **checked(given, NODE_CHECKS)})


def split(given: Mapping[str, Any]) -> tuple[NodeOptions, PoolOptions]:
    """Splits keywords into node and pool options; raises InvalidOptionError for an unknown name or a bad value."""
    pool = {name: value for name, value in given.items() if name in POOL_CHECKS}
    rest = {name: value for name, value in given.items() if name not in POOL_CHECKS}
    return NodeOptions.of(rest), PoolOptions.of(pool)
