"""Decides how `taskscheduler add` reads a job from the command line and what it prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from taskscheduler.declarations.catalog import Entry
from taskscheduler.errors import InvalidJobError
from taskscheduler.process import Process
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.commands.wait import watch
from taskscheduler_daemon.cli.database import opened
from taskscheduler_daemon.cli.input.ids import resolve
from taskscheduler_daemon.cli.input.job_modules import registered
from taskscheduler_daemon.cli.input.parameters import AT, DATA, DURATION, INTERVAL, OBJECT_ID
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.job import LOOKS, record, state
from taskscheduler_daemon.presentation.terminal import say
from taskscheduler_daemon.presentation.text import json_line, json_pretty, tsv

HELP = """Add a job and print its id.

JOB is the registered name of the class or function, as nodes know it (default: module.QualName). DATA is JSON, also
extended JSON such as {"$date": "2026-11-21T08:00:00Z"}; - reads it from the standard input.
"""


@cli_command("add", help=HELP)
@click.argument("job")
@click.argument("data", type=DATA, required=False)
@click.option("--at", type=AT, help="Not before: unix time, ISO date with zone, or from now: 90s, 1h30m.")
@click.option("--interval", type=INTERVAL, help="Run again after so long; -1: at once.")
@click.option("--interval-reference", type=click.Choice(["start", "end"]), help="What the interval counts from.")
@click.option("--retry", type=int, help="How often to try again after a failure; -1: for ever.")
@click.option("--retry-interval", type=DURATION, help="Time between tries.")
@click.option("--timeout", type=DURATION, help="Longest run time.")
@click.option("--silence-timeout", type=DURATION, help="Longest time without a sign of life.")
@click.option("--priority", type=int, help="Higher first within its queue.")
@click.option("--queue", metavar="NAME", help="The queue that it waits in.")
@click.option("--force-spawn", is_flag=True, help="A worker of its own, beyond max_children.")
@click.option("--solo", is_flag=True, help="Never beside another one of its class.")
@click.option("--solo-key", metavar="KEY", help="Never beside another one with this key.")
@click.option("--id", type=OBJECT_ID, help="An id of your choice.")
@click.option(
    "--tag", "-t", "tags", multiple=True, envvar="TASKSCHEDULER_TAG", help="A text to find it by; repeatable."
)
@click.option("--parent", metavar="ID", help="The job that this one is a child of.")
@click.option(
    "--jobs",
    "modules",
    metavar="MODULE",
    multiple=True,
    allow_from_autoenv=False,  # that of a node must not be imported for every job that is added
    help="Look first whether the job of this module takes the data; repeatable, or a,b.",
)
@click.option("--once", is_flag=True, help="Only if the same job is not live already.")
@click.option("--dedupe", is_flag=True, help="Only if the same job is not queued already, running ones aside.")
@click.option("--ignore-data", is_flag=True, help="With --once or --dedupe: any job of the class is the same.")
@click.option(
    "--wait",
    "wanted",
    is_flag=True,
    envvar="TASKSCHEDULER_WAIT",
    help="Wait for its end; exit code 1 if it is not done.",
)
@click.option("--wait-timeout", type=DURATION, help="With --wait: give up after so long, with exit code 124.")
def command(
    settings: Settings,
    job: str,
    data: Any,
    solo_key: str | None,
    parent: str | None,
    tags: Sequence[str],
    modules: Sequence[str],
    once: bool,
    wanted: bool,
    wait_timeout: float | None,
    **given: Any,
) -> int:
    if given["ignore_data"] and not (once or given["dedupe"]):
        raise click.UsageError("--ignore-data needs --once or --dedupe")
    if once and given["dedupe"]:
        raise click.UsageError("give --once or --dedupe, not both")
    options = {name: value for name, value in given.items() if value is not None and value is not False}
    if solo_key is not None:
        options["solo"] = solo_key
    if tags:
        options["tags"] = tags
    if modules:
        _check_registered(job, registered(modules))
    with opened(settings) as database:
        if parent is not None:
            options["parent"] = resolve(parent, database.job_lists.recent_ids)
        add = database.scheduler.add_job_once if once else database.scheduler.add_job
        process = add(job, data, options)
        form = settings.form(piped="id")
        if not (wanted and form in ("json", "ndjson")):  # which tell it as it is in the end
            _print(settings, process, form)
        return watch(settings, database, [process.id], wait_timeout, form) if wanted else 0


def _check_registered(job: str, entries: Sequence[Entry]) -> None:
    names = [entry.name for entry in entries]
    if job not in names:
        raise InvalidJobError(f"job {job!r} is not registered by the modules of --jobs (those are: {', '.join(names)})")


def _print(settings: Settings, process: Process, form: str) -> None:
    if form == "table":
        status = settings.paint(state(process.status, settings.fancy), LOOKS[process.status].color)
        outcome = "" if process.outcome == "created" else f" ({process.outcome})"
        say(f"{process.id}  {status}{outcome}")
    elif form == "id":
        say(str(process.id))
    elif form == "tsv":
        say(tsv(("ID", "STATE", "OUTCOME")))
        say(tsv((process.id, process.status.label, process.outcome)))
    else:
        said = {**record(process), "outcome": process.outcome}
        say((json_pretty if form == "json" else json_line)(said))
