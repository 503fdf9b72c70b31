"""taskscheduler sequences: lists the sequences that a failed job blocks, and releases them."""

from __future__ import annotations

from typing import cast

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.output.listing import Item, print_list
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.sequence import COLUMNS, record, row
from taskscheduler_daemon.presentation.terminal import remark

HELP = """List the sequences that a failed job blocks, and release them.

Only jobs with --sequence-on-failure block do that. A retry of the job or its deletion releases the sequence, too.
"""


@cli_command("sequences", example="taskscheduler sequences release account-42", group=True, help=HELP)
def sequences(settings: Settings) -> None:
    if click.get_current_context().invoked_subcommand is None:
        _list(settings)


@cli_command("list", example="taskscheduler sequences list -o json", help="List all blocked sequences.")
def list_all(settings: Settings) -> None:
    _list(settings)


@cli_command(
    "release",
    example="taskscheduler sequences release account-42",
    output=False,
    help="Let the next job of a sequence run although one has failed.\n\nExit code 3 if none is in the way.",
)
@click.argument("key")
@REASON
def release(settings: Settings, key: str) -> int:
    with open_database(settings) as database:
        released = database.scheduler.sequences.release(key)
    if not released:
        remark(f"taskscheduler: no failed job blocks a sequence {key!r:.120}; list them with: taskscheduler sequences")
    return ExitCode.OK if released else ExitCode.NOT_FOUND


command = cast("click.Group", sequences)

for _subcommand in (list_all, release):
    command.add_command(_subcommand)


def _list(settings: Settings) -> None:
    with open_database(settings) as database:
        found, now = database.scheduler.sequences.blocked(), database.scheduler.store.clock.now()
    print_list(settings, COLUMNS, [Item(one.key, row(one, now), record(one)) for one in found])
