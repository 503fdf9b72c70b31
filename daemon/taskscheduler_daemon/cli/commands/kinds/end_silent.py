"""taskscheduler end-silent: ends the records of programs that stopped reporting, and may signal the programs."""

from __future__ import annotations

import signal

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.parameters import ParsedType
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.terminal import say
from taskscheduler_daemon.programs.end_silent import end_silent

HELP = """Mark tracked programs that stopped reporting as timed out, and those that died on this host as failed.

Without JOB, programs of all classes are checked. Nodes do this by themselves; use the command where no node runs, or
for --signal. The signal goes only to programs of this user on this host, and never to a process that has
reused a pid.
"""


class SignalNumber(ParsedType):
    """A signal by its name, with or without SIG, or by its number."""

    name = "signal"

    def parse(self, text: str) -> int:
        """Returns the number of the signal."""
        name = text.upper().removeprefix("SIG")
        known = {one.name.removeprefix("SIG"): int(one) for one in signal.Signals}
        if name in known:
            return known[name]
        if text.isdecimal() and int(text) in known.values():
            return int(text)
        raise ValueError(f"{text!r} is not a signal; give a name such as TERM, or a number")


@cli_command("end-silent", example="taskscheduler end-silent nightly-import --signal TERM", output=False, help=HELP)
@click.argument("job", required=False)
@click.option("--signal", "number", type=SignalNumber(), help="Also send this signal to their processes.")
@REASON
def command(settings: Settings, job: str | None, number: int | None) -> int:
    with open_database(settings) as database:
        ended = end_silent(database.scheduler, job, number)
    for one in ended:
        error = one.process.error or {}
        fate = f"; {one.fate}" if one.fate else ""
        say(f"{clean(one.process.job)} {one.process.id_text} ended: {error.get('message')}{clean(fate)}")
    say(f"Ended {len(ended)} jobs.")
    return ExitCode.OK
