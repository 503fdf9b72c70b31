"""The temporary queue node of the benchmark: `python -m taskscheduler_daemon.bench.node PARENT-PID NAME=VALUE...`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from taskscheduler.connection import URI_VARIABLE
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.logs import log_to_stderr
from taskscheduler_daemon.node.node import QueueNode
from taskscheduler_daemon.system.node_subprocess import NodeSubprocess, die_with_parent

QUEUE = "taskscheduler-bench"

_JOBS = "taskscheduler_daemon.bench.jobs"

_POOL: Mapping[str, Any] = {"pm": "static", "min_children": 2}

_STOP_TIMEOUT = 0.5  #: seconds for running jobs, which do nothing


@contextmanager
def temporary_node(uri: str, collections: Mapping[str, str]) -> Iterator[NodeSubprocess]:
    """Runs a node on these collections; it has ended when the context is left."""
    arguments = [f"{option}={name}" for option, name in collections.items()]
    environment = {URI_VARIABLE: uri}  # not an argument, which other users could read: a URI may hold a password
    with (
        tempfile.TemporaryFile() as log,
        NodeSubprocess(__name__, arguments, log=log, environment=environment) as node,
    ):
        yield node


def main(arguments: Sequence[str]) -> int:
    """Serves until SIGTERM; returns the exit code."""
    parent, *given = arguments
    log_to_stderr()
    if not die_with_parent(int(parent)):
        return 1
    collections = dict(argument.split("=", 1) for argument in given)
    scheduler = Scheduler(os.environ[URI_VARIABLE], options=collections)
    node = QueueNode(scheduler, name="bench", queues=[QUEUE], jobs=[_JOBS], stop_timeout=_STOP_TIMEOUT, **_POOL)
    return node.process()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
