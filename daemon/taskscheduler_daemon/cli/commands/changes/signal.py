"""taskscheduler signal: gives a job a signal for which it waits, or will wait."""

from __future__ import annotations

from typing import Any

import click

from taskscheduler.model.resumable.signals import Signal
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.ids import JobId, resolve
from taskscheduler_daemon.cli.input.parameters import DATA
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.steps import signal_line, signal_record
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import json_line, json_pretty, tsv

HELP = """Give a job a signal for which it waits, has waited or will wait. VALUE is JSON, or - for standard input.

The first signal of a name holds. Exit code 5 if another one was first, if the job gave up waiting for it, or if the
job has ended; 3 if there is no such job.
"""


@cli_command("signal", example='taskscheduler signal 6d0ede69 approved \'{"by": "Ada"}\'', help=HELP)
@click.argument("job_id", metavar="ID")
@click.argument("name", metavar="NAME")
@click.argument("value", metavar="[VALUE]", type=DATA, required=False)
@REASON
def command(settings: Settings, job_id: str, name: str, value: Any) -> int:
    with open_database(settings) as database:
        found = resolve(job_id, database.job_lists.recent_ids)
        signal = database.scheduler.signal(found, name, value)
    _print(settings, found, signal)
    return ExitCode.OK if signal.won else ExitCode.REFUSED


def _print(settings: Settings, job_id: JobId, signal: Signal) -> None:
    form = settings.form()
    if form == "table":
        say(clean(signal_line(signal)))
    elif form == "tsv":
        say(tsv(("NAME", "WON", "VALUE")))
        say(tsv((signal.name, json_line(signal.won), json_line(signal.value))))
    elif form == "id":
        say(str(job_id))
    else:
        say_lines((json_pretty if form == "json" else json_line)(signal_record(job_id, signal)))
