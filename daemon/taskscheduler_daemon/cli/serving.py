"""Decides how `taskscheduler node` becomes a queue node: nothing connects and no thread starts before it forks."""

from __future__ import annotations

import os
import sys
from typing import Any

from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.nodeoptions import chosen, node_options
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.logs import log_to_stderr
from taskscheduler_daemon.node import QueueNode

HELP = """Run a queue node in the foreground until SIGTERM or Ctrl-C.

Modules are looked for in the current directory, too. SIGTERM lets running jobs finish for --stop-timeout; a second
one kills. SIGHUP renews idle workers. The log goes to the standard error.
"""


@cli_command("node", output=False, help=HELP)
@node_options
def command(settings: Settings, **given: Any) -> int:
    log_to_stderr(settings.verbose)
    return serve(Scheduler(settings.uri), chosen(given))


def serve(scheduler: Scheduler, options: dict[str, Any]) -> int:
    """Run a node with these options; its exit code."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # where users keep the modules that --jobs names
    return QueueNode(scheduler, **options).process()
