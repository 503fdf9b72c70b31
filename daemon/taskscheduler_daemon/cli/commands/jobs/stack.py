"""taskscheduler stack: prints where a running job is right now."""

from __future__ import annotations

import click

from taskscheduler.model.attempts.stack import Stack
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.ids import resolve
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean_lines
from taskscheduler_daemon.presentation.stack import stack_record, stack_rows
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import json_line, json_pretty, tsv

HELP = """Print where a running job is right now: the calls of all threads of its worker, and the coroutines of an
async job.

Works from any host: the node of the job answers through the database. A worker that hangs in C code answers as well.
ID may be the last 5 or more digits of the id of a recent job. Exit code 5 if no node runs the job, 124 without an
answer.
"""


@cli_command("stack", example="taskscheduler stack 6d0ede69", help=HELP)
@click.argument("job_id", metavar="ID")
@click.option(
    "--timeout",
    type=DURATION,
    default=10,
    show_default="10s",
    metavar="DURATION",
    help="How long to wait for an answer.",
)
def command(settings: Settings, job_id: str, timeout: float) -> None:
    with open_database(settings) as database:
        wanted = resolve(job_id, database.job_lists.recent_ids)
        stack = database.scheduler.inspect.stack(wanted, timeout)
    _print(stack, settings.form(piped="table"))


def _print(stack: Stack, form: str) -> None:
    if form == "table":
        for line in clean_lines(str(stack)):
            say(line)
    elif form == "tsv":
        say(tsv(("THREAD", "FILE", "LINE", "FUNCTION", "CODE")))
        for name, frame in stack_rows(stack):
            say(tsv((name, frame.file, str(frame.line), frame.function, frame.code)))
    elif form == "id":
        say(str(stack.job))
    else:
        say_lines((json_pretty if form == "json" else json_line)(stack_record(stack)))
