"""Decides how `taskscheduler flush` makes sure that somebody really wants to delete jobs."""

from __future__ import annotations

import sys

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import opened
from taskscheduler_daemon.cli.exits import Exit
from taskscheduler_daemon.cli.settings import Settings, remark, say
from taskscheduler_daemon.cli.text import clean


@cli_command(
    "flush", output=False, help="Delete all jobs, or all of one class, whatever they do; there is no way back."
)
@click.option("--job", metavar="NAME", help="Only jobs of this class.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(settings: Settings, job: str | None, yes: bool) -> int:
    with opened(settings) as database:
        what = f"all jobs of class {clean(job)}" if job else "all jobs"
        if not yes and not _confirmed(f"Delete {what} in the database {clean(database.inspection.name)}?"):
            return Exit.REFUSED
        deleted = database.scheduler.flush(job)
    say(f"{deleted} jobs deleted")
    return Exit.OK


def _confirmed(question: str) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        remark("taskscheduler: nothing was deleted: there is nobody to ask; confirm with --yes")
        return False
    if not click.confirm(question, err=True):
        remark("taskscheduler: nothing was deleted")
        return False
    return True
