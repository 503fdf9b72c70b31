"""The options by which a command takes many jobs instead of ids: `--where` and those that go with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from taskscheduler_daemon.cli.input.parameters import DURATION

WHERE = click.option(
    "--where", metavar="EXPRESSION", help='Jobs that match, such as "status:failed class:Mail created:>-2h".'
)

SLOW = click.option("--slow", is_flag=True, help="With --where: search also if all jobs have to be read.")


def selecting(spread: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates a command that takes ids, or a selection of many jobs; `spread`: over a time."""
    options = [
        WHERE,
        # a variable for all commands must not turn a slip into the deletion of everything
        click.option(
            "--all", "everything", is_flag=True, allow_from_autoenv=False, help="All jobs, instead of --where."
        ),
        SLOW,
        click.option("--dry-run", is_flag=True, help="Only say how many jobs match."),
        click.option("--limit", type=click.IntRange(min=1), help="At most this many, the oldest first."),
        click.option(
            "--reason", metavar="TEXT", help="Why you do this; it is stored in the jobs, and in the audit log."
        ),
    ]
    if spread:
        options.append(click.option("--spread", type=DURATION, help="Let them start evenly over this long."))

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def selects_many(job_ids: Sequence[str], where: str | None, everything: bool, others: Mapping[str, Any]) -> bool:
    """Returns whether a selection is meant, not ids; UsageError if it is neither or both.

    `others`: options that ids do not go with.
    """
    ways = [name for name, given in (("ids", job_ids), ("--where", where is not None), ("--all", everything)) if given]
    if len(ways) != 1:
        given = f", not {' and '.join(ways)}" if ways else ""
        raise click.UsageError(f"give ids, --where EXPRESSION or --all{given}")
    alone = [name for name, value in others.items() if job_ids and value]
    if alone:
        raise click.UsageError(f"--{alone[0].replace('_', '-')} needs --where or --all")
    return not job_ids
