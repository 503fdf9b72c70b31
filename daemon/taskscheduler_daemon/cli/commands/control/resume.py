"""taskscheduler resume: ends a pause."""

from __future__ import annotations

from typing import Any

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.paused import paused_options, the_one_of
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.terminal import say

HELP = """End a pause: name what was paused.

--all ends the pause of everything, and no other.
"""


@cli_command("resume", example="taskscheduler resume --queue mail", output=False, help=HELP)
@paused_options
@REASON
def command(settings: Settings, **named: Any) -> None:
    with open_database(settings) as database:
        was_paused = database.scheduler.resume(**the_one_of(named))
    say("resumed" if was_paused else "it was not paused")
