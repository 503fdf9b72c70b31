"""taskscheduler flush: deletes all jobs, or all of one class or queue, after a confirmation."""

from __future__ import annotations

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.confirmation import confirmed
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.terminal import say
from taskscheduler_daemon.presentation.text import plural

HELP = """Delete all jobs in any status, or all of one class or queue. This cannot be undone."""


@cli_command("flush", example="taskscheduler flush --queue mail", output=False, help=HELP)
@click.option("--job", metavar="NAME", help="Only jobs of this class.")
@click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@REASON
def command(settings: Settings, job: str | None, queue: str | None, yes: bool) -> int:
    with open_database(settings) as database:
        what = "all jobs" + (f" of class {clean(job)}" if job else "") + (f" in queue {clean(queue)}" if queue else "")
        question = f"Delete {what} in the database {clean(database.overview.name)}?"
        if not yes and not confirmed(question, "nothing was deleted"):
            return ExitCode.REFUSED
        deleted = database.scheduler.flush(job, queue)
    say(f"{plural(deleted, 'job')} deleted")
    return ExitCode.OK
