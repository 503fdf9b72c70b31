"""taskscheduler top: shows the cluster live in the terminal."""

from __future__ import annotations

import os
import sys

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.cli.top.loop import run

_SHORTEST = 0.2  #: seconds

HELP = """Show running jobs, queues and nodes live in the terminal, with keys to act.

1, 2 and 3 change the table, enter shows a job, s where it is, x cancels it, p pauses its queue, o sorts, / filters, ?
helps, q quits. CPU and memory are those at the last heartbeat of the node.
"""


@cli_command("top", example="taskscheduler top --interval 2s", help=HELP)
@click.option("--interval", type=DURATION, default=1, show_default="1s", help="Time between two reads.")
def command(settings: Settings, interval: float) -> int:
    if settings.output is not None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("top needs a terminal; for programs there is: taskscheduler status -o json")
    if os.environ.get("TERM", "dumb") == "dumb":
        raise click.UsageError("top needs a terminal that can move its cursor; use: taskscheduler status")
    if interval < _SHORTEST:
        raise click.UsageError(f"--interval must be at least {_SHORTEST:g} seconds, not {interval:g}")
    with open_database(settings) as database:
        return run(database, interval, settings.fancy)
