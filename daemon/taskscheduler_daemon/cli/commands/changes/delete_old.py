"""taskscheduler delete-old: deletes jobs that ended some time ago, after a confirmation."""

from __future__ import annotations

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.confirmation import confirmed
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.terminal import say

HELP = """Delete jobs that ended some time ago, in whatever status. This cannot be undone.

Without JOB, jobs of all classes are deleted.
"""


@cli_command("delete-old", example="taskscheduler delete-old --age 60d myapp.Mail", output=False, help=HELP)
@click.argument("job", required=False)
@click.option("--age", type=DURATION, required=True, help="Delete jobs that ended longer ago than this: 12h, 60d.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@REASON
def command(settings: Settings, job: str | None, age: float, yes: bool) -> int:
    with open_database(settings) as database:
        what = "all jobs" + (f" of class {clean(job)}" if job else "")
        question = f"Delete {what} that ended more than {brief(age)} ago?"
        if not yes and not confirmed(question, "nothing was deleted"):
            return ExitCode.REFUSED
        deleted = database.scheduler.delete_old_jobs(age, job)
    say(f"Deleted {deleted} jobs.")
    return ExitCode.OK
