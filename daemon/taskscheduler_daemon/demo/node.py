"""The queue node of the demo: `python -m taskscheduler_daemon.demo.node PARENT-PID`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from taskscheduler.connection import URI_VARIABLE
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.logs import log_to_stderr
from taskscheduler_daemon.node.node import QueueNode
from taskscheduler_daemon.system.node_subprocess import die_with_parent

WORKERS = 4

_PROGRESS_EVERY = 200  #: milliseconds; people watch

_STOP_TIMEOUT = 0.5  #: seconds for running jobs; nobody misses what the demo leaves unfinished


def main(arguments: Sequence[str]) -> int:
    """Serves until SIGTERM; returns the exit code."""
    log_to_stderr()
    if not die_with_parent(int(arguments[0])):
        return 1
    node = QueueNode(
        Scheduler(os.environ[URI_VARIABLE], progress_rate_limit=_PROGRESS_EVERY),
        name="demo",
        jobs=["taskscheduler_daemon.demo.jobs"],
        max_children=WORKERS,
        stop_timeout=_STOP_TIMEOUT,
    )
    return node.process()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
