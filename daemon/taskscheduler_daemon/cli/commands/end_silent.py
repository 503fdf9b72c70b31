"""Decides how `taskscheduler end-silent` names signals and tells what became of each program."""

from __future__ import annotations

import signal

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import opened
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.parameters import Parsed
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.terminal import say
from taskscheduler_daemon.presentation.text import clean
from taskscheduler_daemon.programs.end_silent import end_silent

HELP = """End the records of tracked programs that were silent for longer than promised, or are gone from this host.

Of the class JOB, or all. Nodes do so by themselves; this is for where none runs, and for --signal: it is sent to the
programs of this host, never to another process that was given a pid later. Programs of other hosts get none.
"""


def _signal(text: str) -> int:
    name = text.upper().removeprefix("SIG")
    known = {one.name.removeprefix("SIG"): int(one) for one in signal.Signals}
    if name in known:
        return known[name]
    if text.isdecimal() and int(text) in known.values():
        return int(text)
    raise ValueError(f"{text!r} is no signal; give a name such as TERM, or its number")


@cli_command("end-silent", output=False, help=HELP)
@click.argument("job", required=False)
@click.option("--signal", "number", type=Parsed("signal", _signal), help="Send it to their programs, too.")
def command(settings: Settings, job: str | None, number: int | None) -> int:
    with opened(settings) as database:
        ended = end_silent(database.scheduler, job, number)
    for one in ended:
        error = one.process.error or {}
        fate = f"; {one.fate}" if one.fate else ""
        say(f"{clean(one.process.job)} {one.process.id} ended: {error.get('message')}{clean(fate)}")
    say(f"Ended {len(ended)} jobs.")
    return ExitCode.OK
