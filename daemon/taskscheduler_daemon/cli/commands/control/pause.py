"""taskscheduler pause: keeps nodes from starting jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.parameters import START_BY
from taskscheduler_daemon.cli.input.paused import paused_options, the_one_of
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.pause import in_words
from taskscheduler_daemon.presentation.terminal import say

HELP = """Keep nodes from starting jobs of a queue, a class or a tag, or all jobs; jobs that run go on.

Every node obeys within a second. taskscheduler resume, with the same option, ends the pause.
"""


@cli_command("pause", example="taskscheduler pause --queue mail --reason 'SMTP is down'", output=False, help=HELP)
@paused_options
@click.option("--reason", metavar="TEXT", help="Why; everybody sees it.")
@click.option("--until", type=START_BY, help="When it ends by itself: 30m, 2d, or an ISO date with time zone.")
def command(settings: Settings, reason: str | None, until: float | datetime | None, **named: Any) -> None:
    with open_database(settings) as database:
        made = database.scheduler.pause(**the_one_of(named), reason=reason, until=until)
    say(f"paused {clean(in_words(made))}")
