"""taskscheduler exec: runs a command and records it as a job."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.model.job_errors import AlreadyRunningError
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.terminal import remark
from taskscheduler_daemon.programs.command_runner import CommandRunner
from taskscheduler_daemon.programs.masking import masked

_SHORTEST_SILENCE = 3.0

HELP = """Run COMMAND and record it as a job: list and show display it, cancel ends it.

The output passes through; the last 64 KB are stored with the exit code. Passwords and tokens in the arguments are
stored as ***, as far as they can be recognised. SIGINT, SIGTERM and SIGHUP are passed on. If
the record is cancelled, the process group of the command gets SIGTERM, and SIGKILL 3 seconds later. The command reads
standard input unless that is a terminal. It keeps running while the database is unreachable; at its end, exec tries
for a minute to store the result. Processes that leave the process group (setsid) are not followed.

Exit code: that of the command, or 128 + N if signal N killed it; 75 if it is solo and another one runs, 124 if it ran
longer than --timeout, 126 if it cannot be executed, 127 if it does not exist.
"""


@cli_command(
    "exec", example="taskscheduler exec --name backup --solo -- pg_dump -f dump.sql app", output=False, help=HELP
)
@click.argument("arguments", metavar="[--] COMMAND [ARGUMENT]...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--name", help="Name of the job.  [default: that of the command]")
@click.option("--solo", is_flag=True, help="Refuse to run while a job or program of this name runs anywhere.")
@click.option("--solo-key", metavar="KEY", help="Refuse to run while a job or program with this key runs anywhere.")
@click.option(
    "--silence",
    type=DURATION,
    default="60s",
    show_default=True,
    help="The record counts as lost after this long without contact to the database; 0: never.",
)
@click.option("--timeout", type=DURATION, default="0", help="End the command after this long.  [default: never]")
@click.option("--tag", "-t", "tags", multiple=True, help="Tag to find it by; repeatable.")
@click.option(
    "--field", "given", metavar="NAME=VALUE", multiple=True, help="Store this value with the job; repeatable."
)
def command(
    settings: Settings,
    arguments: Sequence[str],
    name: str | None,
    solo: bool,
    solo_key: str | None,
    silence: float,
    timeout: float,
    tags: Sequence[str],
    given: Sequence[str],
) -> int:
    if 0 < silence < _SHORTEST_SILENCE:
        raise click.BadParameter(f"must be 0 or at least {_SHORTEST_SILENCE:g} seconds", param_hint="--silence")
    fields = dict(map(_field, given))
    with open_database(settings) as database:
        record = database.scheduler.track(
            name or Path(arguments[0]).name or "exec", solo=solo_key or solo, timeout=silence, tags=tags
        )
        record.update(**{"command": masked(arguments), **fields})
        try:
            record.start(supervises=True)
        except AlreadyRunningError as error:
            remark(f"taskscheduler exec: {error}")
            return ExitCode.ALREADY_RUNNING
        most = database.scheduler.options.max_payload // 4  # bytes that are not UTF-8 grow when they are stored
        return CommandRunner(record, silence, timeout, most, sys.stderr, SYSTEM_CLOCK).run(arguments)


def _field(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise click.BadParameter(f"{text!r} must be NAME=VALUE", param_hint="--field")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


command.context_settings["allow_interspersed_args"] = False  # options after COMMAND belong to it
