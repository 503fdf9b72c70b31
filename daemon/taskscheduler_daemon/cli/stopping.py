"""Decides what `taskscheduler node stop` says about the node of a pidfile."""

from __future__ import annotations

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.exits import Exit
from taskscheduler_daemon.cli.parameters import DURATION
from taskscheduler_daemon.cli.settings import Settings, remark, say
from taskscheduler_daemon.pidfile import stop_node

HELP = """Stop the node that a pidfile names, and wait until it has ended.

It lets running jobs finish for its --stop-timeout. A pidfile that a killed node has left is removed; exit code 3 if no
node runs, 124 if it has not ended in time.
"""


@cli_command("stop", output=False, help=HELP)
@click.option("--pidfile", metavar="FILE", required=True, help="The pidfile that the node was started with.")
@click.option("--timeout", type=DURATION, default="30s", show_default=True, help="Wait at most so long.")
def stop(settings: Settings, pidfile: str, timeout: float) -> int:  # noqa: ARG001 - every command gets the settings
    if stop_node(pidfile, timeout):
        say("node stopped")
        return Exit.OK
    remark(f"taskscheduler: no node of the pidfile {pidfile} runs")
    return Exit.NOT_FOUND
