"""taskscheduler node and node stop"""

from __future__ import annotations

import os
import sys
from typing import Any, cast

import click

from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.background import stop_node
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.daemonize import in_background, with_pidfile
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.node_options import chosen, node_options
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.logs import log_to_stderr
from taskscheduler_daemon.node.node import QueueNode
from taskscheduler_daemon.presentation.terminal import remark, say

STOP_HELP = """Stop the node that a pidfile names, and wait until it has ended.

It lets running jobs finish for its --stop-timeout. A pidfile that a killed node has left is removed; exit code 3 if no
node runs, 124 if it has not ended in time.
"""


@cli_command("stop", output=False, help=STOP_HELP)
@click.option("--pidfile", metavar="FILE", required=True, help="The pidfile that the node was started with.")
@click.option("--timeout", type=DURATION, default="30s", show_default=True, help="Wait at most so long.")
def stop(settings: Settings, pidfile: str, timeout: float) -> int:  # noqa: ARG001 - every command gets the settings
    if stop_node(pidfile, timeout):
        say("node stopped")
        return ExitCode.OK
    remark(f"taskscheduler: no node of the pidfile {pidfile} runs")
    return ExitCode.NOT_FOUND


HELP = """Run a queue node in the foreground until SIGTERM or Ctrl-C.

Modules are looked for in the current directory, too. SIGTERM lets running jobs finish for --stop-timeout; a second
one kills. SIGHUP replaces the workers, each after its job; new code needs a restart. The log goes to the standard
error.

With --daemonize the command ends when the node is ready, which goes on in the background; stop it with
`taskscheduler node stop --pidfile FILE`.
"""


@cli_command("node", output=False, group=True, help=HELP)
@node_options
@click.option("--pidfile", metavar="FILE", help="Write the process id here; refused if its process runs already.")
@click.option("--daemonize", is_flag=True, help="Run in the background; needs --pidfile.")
@click.option("--log-file", metavar="FILE", help="Where the log of a daemon goes.  [default: nowhere]")
def node(settings: Settings, pidfile: str | None, daemonize: bool, log_file: str | None, **given: Any) -> int:
    if click.get_current_context().invoked_subcommand is not None:
        return ExitCode.OK
    if daemonize and not pidfile:
        raise click.UsageError("--daemonize needs --pidfile, by which the node can be stopped")
    if log_file and not daemonize:
        raise click.UsageError("--log-file is for --daemonize; in the foreground the log goes to the standard error")

    def run() -> int:
        log_to_stderr(settings.verbose)
        return serve(Scheduler(settings.uri), chosen(given))

    if pidfile and daemonize:
        return in_background(pidfile, log_file or os.devnull, run)
    return with_pidfile(pidfile, run) if pidfile else run()


command = cast("click.Group", node)

command.add_command(stop)


def serve(scheduler: Scheduler, options: dict[str, Any]) -> int:
    """Run a node with these options; its exit code."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # where users keep the modules that --jobs names
    return QueueNode(scheduler, **options).process()
