"""taskscheduler flow: lists flows, shows their jobs as a tree, cancels them and retries what failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import cast

import click
from bson import ObjectId

from taskscheduler.errors import FlowNotFoundError, InvalidStateError, JobNotFoundError
from taskscheduler.flow_state import FlowState, RunningFlow
from taskscheduler.model.flows.flow import FLOW_STATUSES
from taskscheduler.operations.flows.tree import FlowTree
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.ids import resolve
from taskscheduler_daemon.cli.input.parameters import LIMIT
from taskscheduler_daemon.cli.output.flow_tree import tree_lines
from taskscheduler_daemon.cli.output.tables import draw_flows
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.flow import (
    COLUMNS,
    age,
    detailed,
    failed_of,
    jobs_text,
    percent,
    record,
    refusal,
    row,
    state_of,
    took,
)
from taskscheduler_daemon.presentation.flow import LOOKS_OF_FLOWS as LOOKS
from taskscheduler_daemon.presentation.terminal import remark, say, say_lines
from taskscheduler_daemon.presentation.text import iso, json_line, json_list, json_pretty, local, plural, tsv

HELP = """List flows, show, cancel and retry them.

A flow is a set of jobs that come after each other. Programs add flows: scheduler.flows.add(flow).
"""

SHOW_HELP = """Show a flow and its jobs as a tree.

Jobs stand in the order in which they can run. Of many beside each other only the most important ones are shown, unless
you give --all. ID may be the last 5 or more digits of the id of a recent flow. In a pipe, too, the output is for
people; give -o tsv or -o json for programs.
"""

_MOST_LINES = 50  #: flows in a table for people, unless they say otherwise

_AT_ONCE = 100  #: flows that are read together

_RECENT = 10_000  #: flows among which the last digits of an id are looked for

_STATUS = click.option("--status", type=click.Choice(FLOW_STATUSES), help="Only flows in this status.")

_NAME = click.option("--name", metavar="TEXT", help="Only flows whose name begins so.")

_LIMIT = click.option(
    "--limit", type=LIMIT, help="Show at most this many.  [default: 50 in a table on a terminal, else all]"
)

_REASON = click.option("--reason", metavar="TEXT", help="Why you do this; it is stored in the jobs.")


@cli_command("flow", example="taskscheduler flow list --status failed", group=True, help=HELP)
def flow(settings: Settings) -> None:
    if click.get_current_context().invoked_subcommand is None:
        _list(settings, None, None, None)


@cli_command("list", example="taskscheduler flow list --status failed --name order", help="List flows, newest first.")
@_STATUS
@_NAME
@_LIMIT
def list_all(settings: Settings, status: str | None, name: str | None, limit: int | None) -> None:
    _list(settings, status, name, limit)


@cli_command("show", example="taskscheduler flow show 6d0ede69", help=SHOW_HELP)
@click.argument("flow_id", metavar="ID")
@click.option("--all", "everything", is_flag=True, allow_from_autoenv=False, help="Show every job.")
def show(settings: Settings, flow_id: str, everything: bool) -> None:
    form = settings.form(piped="table")
    with open_database(settings) as database:
        tree = database.scheduler.flows.outline(_resolve(database.scheduler, flow_id))
        if form == "table":
            now = database.scheduler.store.clock.now()
            lines = tree_lines(settings, database.scheduler, tree, now, everything)
            _show(settings, tree, now, lines)
            return
        database.scheduler.flows.describe(failed_of(tree))
    facts = detailed(tree)
    if form == "tsv":
        say(tsv(("FIELD", "VALUE")))
        for name, value in facts.items():
            text = iso(value) if isinstance(value, datetime) else json_line(value)
            say(tsv((name, value if isinstance(value, str) else "" if value is None else text)))
    elif form == "id":
        say(str(tree.flow["_id"]))
    else:
        say_lines((json_pretty if form == "json" else json_line)(facts))


@cli_command(
    "cancel",
    example="taskscheduler flow cancel 6d0ede69 --reason 'wrong order'",
    help="Cancel all jobs of a flow that have not ended.\n\nExit code 5 if the flow has ended.",
)
@click.argument("flow_id", metavar="ID")
@_REASON
def cancel(settings: Settings, flow_id: str, reason: str | None) -> None:
    with open_database(settings) as database:
        flows = database.scheduler.flows
        found = flows.get(_resolve(database.scheduler, flow_id))
        if not flows.cancel(found.id, reason):
            raise InvalidStateError(_refusal("cancel", found.refresh()))
        _print(settings, [found.refresh()], database.scheduler.store.clock.now())


@cli_command(
    "retry",
    example="taskscheduler flow retry 6d0ede69 --reason 'the truck is back'",
    help="Put the failed jobs of a flow back in the queue.\n\n"
    "What was cancelled because of them waits for them again. Exit code 5 if no job has failed.",
)
@click.argument("flow_id", metavar="ID")
@_REASON
def retry(settings: Settings, flow_id: str, reason: str | None) -> None:
    with open_database(settings) as database:
        flows = database.scheduler.flows
        found = flows.get(_resolve(database.scheduler, flow_id))
        queued = flows.retry(found.id, reason)
        if not queued:
            raise InvalidStateError(_refusal("retry", found.refresh()))
        _print(settings, [found.refresh()], database.scheduler.store.clock.now())
    if settings.form() == "table":
        remark(f"{plural(queued, 'job')} will run again")


command = cast("click.Group", flow)

for _subcommand in (list_all, show, cancel, retry):
    command.add_command(_subcommand)


def _resolve(scheduler: Scheduler, given: str) -> ObjectId | str:
    def recent() -> list[ObjectId]:
        return [one.id for one in scheduler.flows.list(limit=_RECENT, counted=False)]

    try:
        return resolve(given, recent)
    except JobNotFoundError:
        raise FlowNotFoundError(given) from None


def _refusal(action: str, found: FlowState) -> str:
    why = refusal(action, found)
    return f"cannot {action} flow {found.id}: {why[0].lower()}{why[1:].rstrip('.')}"


def _list(settings: Settings, status: str | None, name: str | None, limit: int | None) -> None:
    is_for_people = settings.terminal and settings.form() == "table"
    if limit is None and is_for_people:
        limit = _MOST_LINES
    with open_database(settings) as database:
        now = database.scheduler.store.clock.now()
        found = list(_found(database.scheduler, status, name, None if limit is None else limit + 1))
    more, shown = limit is not None and len(found) > limit, found[:limit]
    _print(settings, shown, now)
    if more:
        remark(f"showing the newest {limit}; --limit shows more" if is_for_people else
               f"taskscheduler: only the newest {limit} flows are listed; there are more")  # fmt: skip
    elif not shown and is_for_people:
        remark(f"no {'such ' if status or name else ''}flows")


def _found(scheduler: Scheduler, status: str | None, name: str | None, limit: int | None) -> Iterator[RunningFlow]:
    left, last = limit, None
    while left is None or left > 0:
        most = _AT_ONCE if left is None else min(left, _AT_ONCE)
        found = scheduler.flows.list(status, most, name=name, before=last)
        yield from found
        if len(found) < most:
            return
        last, left = found[-1].id, None if left is None else left - most


def _print(settings: Settings, found: Sequence[FlowState], now: datetime) -> None:
    form = settings.form()
    if form == "table":
        draw_flows(settings, found, now)
    elif form == "tsv":
        for cells in (COLUMNS, *(row(one, now) for one in found)):
            say(tsv(cells))
    elif form == "json":
        for line in json_list(record(one) for one in found):
            say(line)
    else:
        for one in found:
            say(str(one.id) if form == "id" else json_line(record(one)))


def _show(settings: Settings, tree: FlowTree, now: datetime, lines: Sequence[str]) -> None:
    found = FlowState(tree.flow)
    status = settings.paint(state_of(found, settings.fancy), LOOKS[found.status].color, bold=True)
    name = settings.paint(clean(found.name), bold=True)
    say(f"{name}  {found.id}  {status}" + ("" if found.has_ended else f"  {percent(found)}"))
    facts = [
        ("jobs", jobs_text(found)),
        ("added", f"{local(found.created)}, {age(found, now)} ago"),
        ("ended", local(found.ended) + (f", after {took(found)}" if found.ended else "")),
        ("reason", found.reason or ""),
    ]
    for label, value in facts:
        if value:
            say(f"  {settings.paint(f'{label:<9}', dim=True)} {clean(value)}")
    say()
    for line in lines:
        say(line)
