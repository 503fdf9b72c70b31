"""taskscheduler delete: deletes single jobs after a confirmation."""

from __future__ import annotations

from collections.abc import Sequence

import click

from taskscheduler.errors import JobNotFoundError
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.confirmation import confirmed
from taskscheduler_daemon.cli.input.ids import resolve_all
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.terminal import remark, say

HELP = """Delete jobs in any status. Jobs that have not ended are cancelled first. This cannot be undone.

Exit code 3 if no job was found, 1 if some were not found.
"""


@cli_command("delete", output=False, help=HELP)
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def command(settings: Settings, job_ids: Sequence[str], yes: bool) -> int:
    deleted = 0
    with open_database(settings) as database:
        ids = resolve_all(job_ids, database.job_lists.recent_ids)
        question = f"Delete {len(ids)} jobs?" if len(ids) > 1 else f"Delete the job {ids[0]}?"
        if not yes and not confirmed(question, "nothing was deleted"):
            return ExitCode.REFUSED
        for job_id in ids:
            try:
                database.scheduler.delete_job(job_id)
            except JobNotFoundError as error:
                remark(f"taskscheduler: {error}")
                continue
            say(f"job {job_id} deleted")
            deleted += 1
    if deleted == len(ids):
        return ExitCode.OK
    return ExitCode.FAILED if deleted else ExitCode.NOT_FOUND
