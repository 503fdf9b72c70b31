"""Decides how `taskscheduler restore` asks, and what it says it has done."""

from __future__ import annotations

import click

from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import opened
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.confirmation import confirmed
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.job import count
from taskscheduler_daemon.presentation.terminal import remark, say

HELP = """Let jobs wait again at once that nodes hold whose heartbeat has stopped.

Nodes do so by themselves; this is for when none is left. Jobs of nodes that are up are not touched.
"""


@cli_command("restore", output=False, help=HELP)
@click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(settings: Settings, queue: str | None, yes: bool) -> int:
    with opened(settings) as database:
        question = "Let all jobs wait again that nodes hold which are gone?"
        if not yes and not confirmed(question, "nothing was restored"):
            return ExitCode.REFUSED
        restored = database.scheduler.restore(queue)
        held = database.overview.counts()[Status.PROCESSING]
    say(f"{restored} jobs wait again")
    if held and not restored:
        remark(f"{count(held)} run and are left alone: a node is gone when its heartbeat has stood still for its lease")
    return ExitCode.OK
