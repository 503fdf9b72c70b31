"""taskscheduler audit: lists what people did, the newest first."""

from __future__ import annotations

from typing import Any

import click

from taskscheduler.model.audit.entries import OUTCOMES
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import serve_database
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.output.listing import Item, print_list
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.audit import COLUMNS, record, row

HELP = """List who did what, when and why, newest first.

Actions come from the command line, the web pages and the web service. WHAT is an action such as job.cancel, all of a
kind such as limit, or a verb such as cancel.
"""


@cli_command("audit", example="taskscheduler audit --what cancel --since 2h", help=HELP)
@click.option("--who", metavar="NAME", help="Only what this user did.")
@click.option("--what", metavar="WHAT", help="Only these actions.")
@click.option("--since", type=DURATION, help="Only what was done since so long ago: 2h, 7d.")
@click.option("--job", "target", metavar="ID", help="Only on this job, flow, schedule, limit, group or service.")
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Only actions that ended so.")
@click.option("--before", metavar="ID", help="Only entries older than this one.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most this many.")
def command(settings: Settings, **wanted: Any) -> None:
    with serve_database(settings) as database:
        found = database.scheduler.audit.entries(**wanted)
    print_list(settings, COLUMNS, [Item(str(entry.id), row(entry), record(entry)) for entry in found])
