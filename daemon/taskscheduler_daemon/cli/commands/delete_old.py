"""Decides how `taskscheduler delete-old` asks before it deletes jobs by their age."""

from __future__ import annotations

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import opened
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.confirmation import confirmed
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.terminal import say
from taskscheduler_daemon.presentation.text import clean


@cli_command(
    "delete-old", output=False, help="Delete the jobs, of the class JOB or all, that ended some time ago, however."
)
@click.argument("job", required=False)
@click.option("--age", type=DURATION, required=True, help="Those that ended longer ago: 12h, 60d.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(settings: Settings, job: str | None, age: float, yes: bool) -> int:
    with opened(settings) as database:
        what = "all jobs" + (f" of class {clean(job)}" if job else "")
        question = f"Delete {what} that ended more than {brief(age)} ago?"
        if not yes and not confirmed(question, "nothing was deleted"):
            return ExitCode.REFUSED
        deleted = database.scheduler.delete_old_jobs(age, job)
    say(f"Deleted {deleted} jobs.")
    return ExitCode.OK
