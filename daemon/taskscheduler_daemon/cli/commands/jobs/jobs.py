"""taskscheduler jobs: prints the jobs that modules register."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import click

from taskscheduler.declarations.catalog import Entry
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.input.job_modules import registered_jobs
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.terminal import remark, say, say_lines
from taskscheduler_daemon.presentation.text import aligned, json_line, json_pretty, tsv

HELP = """Show the jobs that modules register: name, arguments, description and options.

This imports the modules and needs no database. JSON lists the arguments one by one, with type, default and whether they
are required.
"""

_COLUMNS = ("JOB", "TAKES", "DESCRIPTION", "OPTIONS")


@cli_command("jobs", example="taskscheduler jobs --jobs myapp.jobs", help=HELP)
@click.option("--jobs", multiple=True, metavar="MODULE", help="Module that registers jobs; repeatable, or a,b.")
def command(settings: Settings, jobs: Sequence[str]) -> None:
    if not jobs:
        raise click.UsageError("name the modules that register jobs: --jobs myapp.jobs, or set TASKSCHEDULER_JOBS")
    entries = registered_jobs(jobs)
    _print(settings, entries)
    if not entries:
        remark("these modules register no jobs: subclass Job, or decorate functions with @job")


def _print(settings: Settings, entries: Sequence[Entry]) -> None:
    form = settings.form()
    rows = [_row(entry) for entry in entries]
    if form == "json":
        say_lines(json_pretty([_record(entry) for entry in entries]))
    elif form == "ndjson":
        for entry in entries:
            say(json_line(_record(entry)))
    elif form == "id":
        for entry in entries:
            say(clean(entry.name))
    elif form == "tsv":
        for cells in (_COLUMNS, *rows):
            say(tsv(cells))
    else:
        for line in aligned([[clean(cell) for cell in row] for row in (_COLUMNS, *rows)]):
            say(line.rstrip())


def _row(entry: Entry) -> tuple[str, str, str, str]:
    options = ", ".join(f"{name}={value}" for name, value in _plain(entry.options).items())
    return entry.name, ", ".join(map(str, entry.parameters)), entry.description, options


def _record(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "parameters": [dataclasses.asdict(one) for one in entry.parameters],
        "description": entry.description,
        "options": _plain(entry.options),
    }


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns options as the document of a job has them: times in seconds, tags as a list."""
    return {name: _stored(value) for name, value in options.items()}


def _stored(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return list(value) if isinstance(value, tuple) else value
