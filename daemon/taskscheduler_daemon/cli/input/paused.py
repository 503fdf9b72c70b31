"""The options that name what is paused: a queue, a class, a tag, or everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click


def paused_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command."""
    everything = click.option("--all", "everything", is_flag=True, allow_from_autoenv=False, help="All jobs.")
    tag = click.option("--tag", metavar="TAG", allow_from_autoenv=False, help="All jobs with this tag.")
    job = click.option("--job", metavar="NAME", allow_from_autoenv=False, help="All jobs of this class or function.")
    queue = click.option("--queue", metavar="NAME", allow_from_autoenv=False, help="All jobs of this queue.")
    return queue(job(tag(everything(function))))


def the_one_of(named: Mapping[str, Any]) -> dict[str, str]:
    """Returns the one that is named, as `Scheduler.pause` takes it; UsageError unless exactly one is."""
    given = {name: value for name, value in named.items() if value is not None and value is not False}
    if len(given) != 1:
        raise click.UsageError("give one of --queue, --job, --tag and --all")
    return {name: value for name, value in given.items() if name != "everything"}
