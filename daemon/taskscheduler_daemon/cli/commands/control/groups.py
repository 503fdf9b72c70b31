"""taskscheduler groups: lists groups with how many of their jobs wait, sets and deletes their weights."""

from __future__ import annotations

from typing import cast

import click

from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.output.listing import Item, print_list
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.group import COLUMNS, record, row
from taskscheduler_daemon.presentation.terminal import remark

HELP = """List the groups that have a weight or waiting jobs; set and delete weights.

Within a queue and a priority, groups take turns: taskscheduler add JOB --group NAME.
"""


@cli_command("groups", example="taskscheduler groups set customer-7 --weight 3", group=True, help=HELP)
def groups(settings: Settings) -> None:
    if click.get_current_context().invoked_subcommand is None:
        _list(settings)


@cli_command("list", example="taskscheduler groups list -o json", help="List all groups.")
def list_all(settings: Settings) -> None:
    _list(settings)


@cli_command(
    "set",
    example="taskscheduler groups set customer-7 --weight 3",
    output=False,
    help="Set the weight of a group, in place of the one before.\n\nIt holds within a second.",
)
@click.argument("name")
@click.option("--weight", type=float, required=True, help="So many turns while a group of weight 1 gets one.")
@REASON
def set_one(settings: Settings, name: str, weight: float) -> None:
    with open_database(settings) as database:
        database.scheduler.groups.set(name, weight)


@cli_command(
    "delete",
    example="taskscheduler groups delete customer-7",
    output=False,
    help="Delete the weight of a group: it has weight 1 again.\n\nExit code 3 if it has none.",
)
@click.argument("name")
@REASON
def delete(settings: Settings, name: str) -> int:
    with open_database(settings) as database:
        deleted = database.scheduler.groups.delete(name)
    if not deleted:
        remark(f"taskscheduler: group {name!r:.120} has no weight; list groups with: taskscheduler groups")
    return ExitCode.OK if deleted else ExitCode.NOT_FOUND


command = cast("click.Group", groups)

for _subcommand in (list_all, set_one, delete):
    command.add_command(_subcommand)


def _list(settings: Settings) -> None:
    with open_database(settings) as database:
        found = database.scheduler.groups.all()
    print_list(settings, COLUMNS, [Item(use.name, row(use), record(use)) for use in found])
