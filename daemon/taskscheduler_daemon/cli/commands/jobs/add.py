"""taskscheduler add: reads a job from the command line, adds it and prints its id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from taskscheduler.declarations.catalog import Entry
from taskscheduler.errors import InvalidJobError
from taskscheduler.process import Process
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.commands.jobs.wait import watch
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.ids import resolve
from taskscheduler_daemon.cli.input.job_modules import registered_jobs
from taskscheduler_daemon.cli.input.parameters import AT, BACKOFF, DATA, DURATION, INTERVAL, OBJECT_ID, START_BY
from taskscheduler_daemon.cli.input.reason import REASON
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.job import LOOKS, record, state
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import json_line, json_pretty, tsv

HELP = """Add a job and print its id.

JOB is the registered name of a class or function, by default module.QualName. DATA is JSON, or extended JSON such as
{"$date": "2026-11-21T08:00:00Z"}; - reads it from standard input.
"""


@cli_command("add", example='taskscheduler add myapp.Mail \'{"to": "a@b.c"}\' --retry 3 --wait', help=HELP)
@click.argument("job")
@click.argument("data", type=DATA, required=False)
@click.option("--at", type=AT, help="Earliest start: unix time, ISO date with time zone, or from now: 90s, 1h30m.")
@click.option("--interval", type=INTERVAL, help="Run again after this long; -1: at once.")
@click.option(
    "--interval-reference",
    type=click.Choice(["start", "end"]),
    help="Count the interval from the start or the end of a run.",
)
@click.option("--retry", type=int, help="Number of retries after a failure; -1: no limit.")
@click.option("--retry-interval", type=DURATION, help="Pause before a retry.")
@click.option("--backoff", type=BACKOFF, help="How pauses grow: constant, linear, exponential, or each: 1s,30s,5m.")
@click.option("--retry-interval-max", type=DURATION, help="Longest pause before a retry.  [default: 1d]")
@click.option(
    "--jitter",
    type=float,
    allow_from_autoenv=False,  # that of `schedule add` is something else
    help="Share of a pause that is left to chance: 0 to 1.",
)
@click.option("--retry-for", type=DURATION, help="No retry begins later than this after the first start.")
@click.option("--start-by", type=START_BY, help="Cancel it unless it starts within this long, or by an ISO date.")
@click.option("--timeout", type=DURATION, help="Longest run time.")
@click.option("--silence-timeout", type=DURATION, help="Longest time without a sign of life.")
@click.option("--priority", type=int, help="Higher numbers run first within a queue.")
@click.option("--queue", metavar="NAME", help="Queue of the job.")
@click.option("--force-spawn", is_flag=True, help="Own worker, even beyond --max-children.")
@click.option("--solo", is_flag=True, help="Never run it beside another job of its class.")
@click.option("--solo-key", metavar="KEY", help="Never run it beside another job with this key.")
@click.option(
    "--limit",
    "limits",
    metavar="NAME",
    multiple=True,
    allow_from_autoenv=False,  # TASKSCHEDULER_LIMIT is the number of jobs in a list
    help="Limit that it is under; repeatable.",
)
@click.option("--sequence", metavar="KEY", help="Run it in order, and never beside another job of this sequence.")
@click.option(
    "--sequence-on-failure",
    type=click.Choice(["skip", "block"]),
    help="Whether the others of the sequence wait once it has failed.  [default: skip]",
)
@click.option("--group", metavar="NAME", help="Have it take turns with the jobs of other groups.")
@click.option("--id", type=OBJECT_ID, help="Give it this id.")
@click.option("--tag", "-t", "tags", multiple=True, envvar="TASKSCHEDULER_TAG", help="Tag to find it by; repeatable.")
@click.option("--parent", metavar="ID", help="Id of its parent job.")
@click.option(
    "--jobs",
    "modules",
    metavar="MODULE",
    multiple=True,
    allow_from_autoenv=False,  # TASKSCHEDULER_JOBS is for nodes; not every added job should import all of it
    help="First check the data against the job in this module; repeatable, or a,b.",
)
@click.option("--once", is_flag=True, help="Add it only if no equal job is live.")
@click.option("--dedupe", is_flag=True, help="Add it only if no equal job is queued; running ones do not count.")
@click.option("--unique-for", type=DURATION, help="Add it only if no equal job was accepted so recently.")
@click.option("--debounce", type=DURATION, help="Start it once no equal job was added for this long.")
@click.option("--debounce-max", type=DURATION, help="With --debounce: start it at the latest after this long.")
@click.option("--unique-key", metavar="KEY", help="Jobs of the class with this key are equal, whatever their data.")
@click.option("--ignore-data", is_flag=True, help="All jobs of the class are equal, whatever their data.")
@click.option(
    "--wait",
    is_flag=True,
    envvar="TASKSCHEDULER_WAIT",
    help="Wait until it has ended; exit code 1 unless it is done.",
)
@click.option("--wait-timeout", type=DURATION, help="With --wait: give up after this long, with exit code 124.")
@REASON
def command(
    settings: Settings,
    job: str,
    data: Any,
    solo_key: str | None,
    parent: str | None,
    tags: Sequence[str],
    limits: Sequence[str],
    modules: Sequence[str],
    once: bool,
    wait: bool,
    wait_timeout: float | None,
    **given: Any,
) -> int:
    if given["ignore_data"] and not (once or given["dedupe"] or given["unique_for"] or given["debounce"]):
        raise click.UsageError("--ignore-data needs --once, --dedupe, --unique-for or --debounce")
    if once and given["dedupe"]:
        raise click.UsageError("give --once or --dedupe, not both")
    options = {name: value for name, value in given.items() if value is not None and value is not False}
    if solo_key is not None:
        options["solo"] = solo_key
    options |= {name: values for name, values in (("tags", tags), ("limits", limits)) if values}
    if modules:
        _check_registered(job, registered_jobs(modules))
    with open_database(settings) as database:
        if parent is not None:
            options["parent"] = resolve(parent, database.job_lists.recent_ids)
        add = database.scheduler.add_job_once if once else database.scheduler.add_job
        process = add(job, data, options)
        form = settings.form(piped="id")
        if not (wait and form in ("json", "ndjson")):  # these print the job at its end
            _print(settings, process, form)
        return watch(settings, database, [process.id], wait_timeout, form) if wait else 0


def _check_registered(job: str, entries: Sequence[Entry]) -> None:
    names = [entry.name for entry in entries]
    if job not in names:
        raise InvalidJobError(
            f"job {job!r} is not registered by the modules of --jobs; they register: {', '.join(names) or 'nothing'}"
        )


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
        document = {**record(process), "outcome": process.outcome}
        say_lines((json_pretty if form == "json" else json_line)(document))
