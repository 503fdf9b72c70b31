"""taskscheduler node: runs a queue node, in the foreground or as a daemon, and stops one."""

from __future__ import annotations

import os
from typing import Any, cast

import click

from taskscheduler.embedded import EmbeddedDatabase
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.background import stop_node
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.daemonize import in_background, with_pidfile
from taskscheduler_daemon.cli.database import given_uri, open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.job_modules import look_here
from taskscheduler_daemon.cli.input.node_options import given_options, node_options
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.logs import log_to_stderr
from taskscheduler_daemon.node.node import QueueNode
from taskscheduler_daemon.presentation.terminal import remark, say
from taskscheduler_daemon.presentation.text import plural

STOP_HELP = """Stop the node that a pidfile names, and wait until it has ended.

The node gives running jobs its --stop-timeout to finish. A stale pidfile is removed. Exit code 3 if no node runs, 124
if it does not end in time.
"""


@cli_command("stop", example="taskscheduler node stop --pidfile node.pid", output=False, help=STOP_HELP)
@click.option("--pidfile", metavar="FILE", required=True, help="Pidfile that the node was started with.")
@click.option("--timeout", type=DURATION, default="30s", show_default=True, help="Wait at most this long.")
def stop(settings: Settings, pidfile: str, timeout: float) -> int:  # noqa: ARG001 - every command gets the settings
    if stop_node(pidfile, timeout):
        say("node stopped")
        return ExitCode.OK
    remark(f"taskscheduler: no node runs for the pidfile {pidfile}")
    return ExitCode.NOT_FOUND


DRAIN_HELP = """Have a node take no new jobs, finish those that it has, and end.

NAME is a name or an id that `taskscheduler nodes` lists; all nodes of that name drain. A node obeys at its next
heartbeat, within a third of its lease. It waits for its jobs however long they take; its services go on elsewhere. It
cannot be called back. Exit code 3 if no such node runs.
"""


@cli_command("drain", example="taskscheduler node drain web-1 --reason 'new kernel'", output=False, help=DRAIN_HELP)
@click.argument("name")
@REASON
def drain(settings: Settings, name: str) -> None:
    with open_database(settings) as database:
        count = database.scheduler.nodes.drain(name)
    say(f"draining {plural(count, 'node')}; taskscheduler nodes shows when they are gone")


HELP = """Run a queue node in the foreground until SIGTERM or Ctrl-C.

It needs a database: --uri or TASKSCHEDULER_URI, or --embedded for development. Job modules may also be in the current
directory. SIGTERM gives running jobs --stop-timeout to finish; a second SIGTERM kills them. SIGHUP replaces each worker
after its current job, and opens the log file again after a rotation; new code needs a restart. The log goes to standard
error.

With --daemonize, the command returns when the node is ready and leaves it in the background. Stop it with
`taskscheduler node stop --pidfile FILE`.
"""


@cli_command(
    "node",
    example="taskscheduler node --jobs myapp.jobs --queue mail --max-children 8",
    output=False,
    group=True,
    help=HELP,
)
@node_options
@click.option("--embedded", is_flag=True, help="Use the embedded server of this user, for development.")
@click.option("--pidfile", metavar="FILE", help="Write the process id to this file; refused while its process runs.")
@click.option("--daemonize", is_flag=True, help="Run in the background; needs --pidfile.")
@click.option("--log-file", metavar="FILE", help="Log of a node in the background.  [default: none]")
def node(
    settings: Settings, embedded: bool, pidfile: str | None, daemonize: bool, log_file: str | None, **given: Any
) -> int:
    if click.get_current_context().invoked_subcommand is not None:
        return ExitCode.OK
    place = _place(settings, embedded)
    if daemonize and not pidfile:
        raise click.UsageError("--daemonize needs --pidfile, so that the node can be stopped")
    if log_file and not daemonize:
        raise click.UsageError("--log-file needs --daemonize; in the foreground the log goes to standard error")

    def run() -> int:
        log_to_stderr(settings.verbose)
        return serve(Scheduler(place, options=settings.collections), given_options(given))

    if pidfile and daemonize:
        return in_background(pidfile, log_file or os.devnull, run)
    return with_pidfile(pidfile, run) if pidfile else run()


def _place(settings: Settings, embedded: bool) -> str | EmbeddedDatabase:
    """Returns where the jobs are; a node never uses the embedded server unless somebody says so."""
    uri = given_uri(settings)
    if uri is not None and embedded:
        raise click.UsageError(
            "--embedded and a URI exclude each other; leave out one of --embedded, --uri and TASKSCHEDULER_URI"
        )
    if uri is None and not embedded:
        raise click.UsageError(
            "no database is given: set --uri or TASKSCHEDULER_URI to mongodb://host/database, or give --embedded to "
            "use the embedded server of this user"
        )
    return uri or EmbeddedDatabase.chosen()


command = cast("click.Group", node)

command.add_command(stop)
command.add_command(drain)


def serve(scheduler: Scheduler, options: dict[str, Any]) -> int:
    """Runs a node with these options; returns its exit code."""
    look_here()
    return QueueNode(scheduler, **options).process()
