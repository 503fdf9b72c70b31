"""Decides how the demo's queue node runs: `python -m taskscheduler_daemon.demo.node URI PID-OF-THE-DEMO`."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.logs import log_to_stderr
from taskscheduler_daemon.node.node import QueueNode

WORKERS = 4

_PR_SET_PDEATHSIG = 1
_PROGRESS_EVERY = 200  #: milliseconds; people watch
_STOP_TIMEOUT = 0.5  #: seconds for running jobs; what the demo leaves unfinished nobody misses


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; the exit code."""
    uri, demo = arguments[0], int(arguments[1])
    log_to_stderr()
    if sys.platform == "linux":
        # SIGKILL to the demo takes the node along, which takes its workers; SIGTERM would wait for a server that is
        # stopping, too
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != demo:  # it ended before we asked
        return 1
    node = QueueNode(
        Scheduler(uri, progress_rate_limit=_PROGRESS_EVERY),
        name="demo",
        jobs=["taskscheduler_daemon.demo.jobs"],
        max_children=WORKERS,
        stop_timeout=_STOP_TIMEOUT,
    )
    return node.process()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
