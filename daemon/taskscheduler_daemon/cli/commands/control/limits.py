"""taskscheduler limits: lists limits with who is at work under them, sets and deletes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

import click

from taskscheduler.model.job_ids import id_text
from taskscheduler.operations.control.limits import Holder, LimitUse, limit_use
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.input.parameters import DURATION
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.limit import COLUMNS, record, row, state_of
from taskscheduler_daemon.presentation.terminal import remark, say, say_lines
from taskscheduler_daemon.presentation.text import aligned, json_line, json_pretty, tsv

HELP = """List limits with the places that are taken and who holds them; set and delete limits.

A limit holds in the whole cluster, for the jobs that name it: taskscheduler add JOB --limit NAME.
"""

SET_HELP = """Set the limit of a name, in place of the one before.

It holds within half a second, also for jobs that wait already. A NAME that ends with * stands for all names that begin
so, each with places of its own.
"""

_SHOWN = 5  #: holders of a limit in a table


@cli_command("limits", example="taskscheduler limits set stripe --concurrency 5", group=True, help=HELP)
def limits(settings: Settings) -> None:
    if click.get_current_context().invoked_subcommand is None:
        _list(settings)


@cli_command("list", example="taskscheduler limits list -o json", help="List all limits.")
def list_all(settings: Settings) -> None:
    _list(settings)


@cli_command("set", example="taskscheduler limits set api --rate 100 --per 60s --burst 20", help=SET_HELP)
@click.argument("name")
@click.option("--concurrency", type=int, help="So many of its jobs run at the same time at most; 0: none starts.")
@click.option("--rate", type=float, help="So many of its jobs start in the time of --per.")
@click.option("--per", type=DURATION, help="With --rate: the time.  [default: 1s]")
@click.option("--burst", type=int, help="With --rate: so many may start at once after a rest.  [default: 1]")
@REASON
def set_one(
    settings: Settings, name: str, concurrency: int | None, rate: float | None, per: float | None, burst: int | None
) -> None:
    with open_database(settings) as database:
        limit = database.scheduler.limits.set(name, concurrency, rate, per, burst)
        store = database.scheduler.store
        use = limit_use(store, name) or LimitUse(limit, (), 0)  # somebody has deleted it since
        _print(settings, [use], store.clock.now())


@cli_command(
    "delete",
    example="taskscheduler limits delete stripe",
    output=False,
    help="Delete a limit: its jobs are not limited any more.\n\nExit code 3 if there is none of this name.",
)
@click.argument("name")
@REASON
def delete(settings: Settings, name: str) -> int:
    with open_database(settings) as database:
        deleted = database.scheduler.limits.delete(name)
    if not deleted:
        remark(f"taskscheduler: there is no limit {name!r:.120}; list them with: taskscheduler limits")
    return ExitCode.OK if deleted else ExitCode.NOT_FOUND


command = cast("click.Group", limits)

for _subcommand in (list_all, set_one, delete):
    command.add_command(_subcommand)


def _list(settings: Settings) -> None:
    with open_database(settings) as database:
        _print(settings, database.scheduler.limits.all(), database.scheduler.store.clock.now())


def _print(settings: Settings, found: Sequence[LimitUse], now: datetime) -> None:
    form = settings.form()
    if form == "json":
        say_lines(json_pretty([record(use) for use in found]))
    elif form == "table":
        header, *lines = aligned([COLUMNS, *([clean(cell) for cell in row(use)] for use in found)])
        say(settings.paint(header, bold=True))
        for use, line in zip(found, lines, strict=True):
            say(line)
            for holder in _holders(use, now):
                say(f"  {clean(holder)}")
    elif form == "tsv":
        for cells in (COLUMNS, *map(row, found)):
            say(tsv(cells))
    else:
        for use in found:
            say(clean(use.name) if form == "id" else json_line(record(use)))


def _holders(use: LimitUse, now: datetime) -> list[str]:
    shown, more = use.holders[:_SHOWN], use.taken - _SHOWN
    return [_holder(use, holder, now) for holder in shown] + ([f"and {more} more"] if more > 0 else [])


def _holder(use: LimitUse, holder: Holder, now: datetime) -> str:
    name = "" if holder.name == use.name else f"  of {holder.name}"
    return f"{id_text(holder.job)}  {holder.job_class}  {state_of(holder, now)}{name}"
