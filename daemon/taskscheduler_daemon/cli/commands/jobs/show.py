"""taskscheduler show: prints everything that is stored about one job."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from taskscheduler.model.control.reasons import Reason
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.history import history
from taskscheduler.process import Process
from taskscheduler.store.event_log import StatusChange
from taskscheduler_daemon.cli.command import command as cli_command
from taskscheduler_daemon.cli.database import open_database
from taskscheduler_daemon.cli.input.ids import resolve
from taskscheduler_daemon.cli.output.job_facts import attempt_line, fields_of
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean, clean_lines
from taskscheduler_daemon.presentation.job import (
    error_line,
    look_of,
    record,
    state_of,
)
from taskscheduler_daemon.presentation.reason import is_kept_waiting
from taskscheduler_daemon.presentation.steps import StepRow, step_rows
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import iso, json_line, json_pretty, local, tsv

_LONGEST_STEP = 200

HELP = """Show everything about one job.

ID may be the last 5 or more digits of the id of a recent job. In a pipe, too, the output is for people; give -o tsv or
-o json for programs.
"""


@cli_command("show", example="taskscheduler show 6d0ede69", help=HELP)
@click.argument("job_id", metavar="ID")
def command(settings: Settings, job_id: str) -> None:
    with open_database(settings) as database:
        job = database.scheduler.get_job(resolve(job_id, database.job_lists.recent_ids))
        changes = history(database.scheduler.store, job.id)
        now, form = database.scheduler.store.clock.now(), settings.form(piped="table")
        reason = job.why() if form == "table" and is_kept_waiting(job) else None
    everything = {**record(job), "history": [_logged(change) for change in changes]}
    if form == "table":
        _show(settings, job, now, changes, reason)
    elif form == "tsv":
        say(tsv(("FIELD", "VALUE")))
        for name, value in everything.items():
            say(tsv((name, _machine(value))))
    elif form == "id":
        say(job.id_text)
    else:
        say_lines((json_pretty if form == "json" else json_line)(everything))


def _machine(value: Any) -> str:
    if isinstance(value, datetime):
        return iso(value)
    return value if isinstance(value, str) else "" if value is None else _compact(value)


def _compact(value: Any) -> str:
    return str(value) if not isinstance(value, dict | list | bool) else json_line(value)


def _show(
    settings: Settings, job: Process, now: datetime, changes: Sequence[StatusChange], reason: Reason | None
) -> None:
    status = settings.paint(state_of(job, settings.fancy), look_of(job).color, bold=True)
    say(f"{settings.paint(clean(job.job), bold=True)}  {job.id_text}  {status}")
    if reason is not None:
        _line(settings, "why", str(reason))
    for name, value in fields_of(job, now, settings.fancy):
        _line(settings, name, value)
    for number, step in enumerate(step_rows(job, now)):
        _line(settings, "" if number else "steps", _step(step))
    for number, attempt in enumerate(reversed(job.attempts)):
        _line(settings, "" if number else "attempts", attempt_line(attempt, now, settings.fancy))
    for number, change in enumerate(changes):
        _line(settings, "" if number else "history", _change(change))
    if job.data is not None or not job.program:
        _line(settings, "data", json_line(job.data))
    if job.status is Status.DONE:
        _line(settings, "result", json_line(job.result_value))
    _show_error(settings, job)


def _line(settings: Settings, name: str, value: str) -> None:
    say(f"  {settings.paint(f'{name:<9}', dim=True)} {clean(value)}")


def _step(step: StepRow) -> str:
    state = step.state if len(step.state) <= _LONGEST_STEP else f"{step.state[:_LONGEST_STEP]}..."
    return f"{step.name}  #{step.attempt}  {step.at}  {state}"


def _change(change: StatusChange) -> str:
    return f"{local(change.at)}  {change.status.label} #{change.attempt}" + (
        f" on {change.node}" if change.node else ""
    )


def _logged(change: StatusChange) -> dict[str, Any]:
    return {**change._asdict(), "status": change.status.label}


def _show_error(settings: Settings, job: Process) -> None:
    error = job.error
    if not error:
        return
    _line(settings, "error", error_line(error))
    extra = {name: value for name, value in error.items() if name not in ("type", "message", "traceback")}
    if extra:
        _line(settings, "", json_line(extra))
    for line in clean_lines(str(error.get("traceback") or "")):
        say(f"            {line}")
