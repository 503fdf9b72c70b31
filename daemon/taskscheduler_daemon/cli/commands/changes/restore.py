"""taskscheduler restore: requeues jobs of lost nodes after a confirmation."""

from __future__ import annotations

import click

from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.confirmation import confirmed
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.job import count
from taskscheduler_daemon.presentation.terminal import remark, say
from taskscheduler_daemon.presentation.text import plural

HELP = """Requeue jobs held by lost nodes, at once.

A node is lost when it has sent no heartbeat for the length of its lease. Other nodes requeue its jobs by themselves;
use the command when no node is left. Jobs of nodes that are up are not touched.
"""


@cli_command("restore", example="taskscheduler restore --queue mail", output=False, help=HELP)
@click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@REASON
def command(settings: Settings, queue: str | None, yes: bool) -> int:
    with open_database(settings) as database:
        question = "Requeue all jobs held by lost nodes?"
        if not yes and not confirmed(question, "nothing was requeued"):
            return ExitCode.REFUSED
        restored = database.scheduler.restore(queue)
        held = database.overview.counts()[Status.PROCESSING]
    say(f"{plural(restored, 'job')} requeued")
    if held and not restored:
        remark(f"jobs whose nodes are not lost are left alone: {count(held)} running")
    return ExitCode.OK
