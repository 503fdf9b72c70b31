"""taskscheduler delete: deletes single jobs, or many, after a confirmation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from taskscheduler.errors import JobNotFoundError
from taskscheduler.model.changes import reason_option
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import OpenDatabase, open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.confirmation import confirmed
from taskscheduler_daemon.cli.input.ids import resolve_all
from taskscheduler_daemon.cli.input.selecting import selecting, selects_many
from taskscheduler_daemon.cli.output.selection import print_result
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.terminal import remark, say
from taskscheduler_daemon.presentation.text import plural

HELP = """Delete jobs in any status. Jobs that have not ended are cancelled first. This cannot be undone.

Give ids, or an expression for many. Exit code 3 if no job was found, 1 if some were not found.
"""

_REFUSAL = "nothing was deleted"


@cli_command("delete", example="taskscheduler delete 6d0ede69 --yes", output=False, help=HELP)
@click.argument("job_ids", metavar="[ID...]", nargs=-1)
@selecting()
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def command(
    settings: Settings,
    job_ids: Sequence[str],
    where: str | None,
    everything: bool,
    slow: bool,
    reason: str | None,
    yes: bool,
    **bounds: Any,
) -> int:
    settings.reason = reason_option(reason)
    if not selects_many(job_ids, where, everything, {"slow": slow, **bounds}):
        with open_database(settings) as database:
            return _delete_each(database, job_ids, yes)
    with open_database(settings) as database:
        selection = database.scheduler.select(where, everything=everything, slow=slow)
        found = selection.delete(reason=reason, **{**bounds, "dry_run": True})
        if bounds["dry_run"]:
            return print_result("table", found)
        which = "all there are" if everything else f"that match {where!r}"
        question = f"Delete {plural(found.count, 'job')}, {which}?"
        if found.count and not yes and not confirmed(question, _REFUSAL):
            return ExitCode.REFUSED
        return print_result("table", selection.delete(reason=reason, **bounds))


def _delete_each(database: OpenDatabase, job_ids: Sequence[str], yes: bool) -> int:
    deleted = 0
    ids = resolve_all(job_ids, database.job_lists.recent_ids)
    question = f"Delete {len(ids)} jobs?" if len(ids) > 1 else f"Delete the job {ids[0]}?"
    if not yes and not confirmed(question, _REFUSAL):
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
