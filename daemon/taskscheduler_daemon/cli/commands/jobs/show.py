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
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.clean import clean, clean_lines
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import (
    age,
    attempt_label,
    attempt_look,
    attempt_note,
    error_line,
    lasted,
    look_of,
    news,
    record,
    run_time,
    spent,
    start_by,
    state_of,
    tries,
    wait_time,
)
from taskscheduler_daemon.presentation.kinds import (
    chosen_options,
    how_often,
    is_service,
    limit_names,
    program,
    restarts,
    sequence,
    service_name,
    sign_of_life,
    solo_key,
    together,
)
from taskscheduler_daemon.presentation.reason import is_kept_waiting
from taskscheduler_daemon.presentation.steps import StepRow, due_date, step_rows, unheard
from taskscheduler_daemon.presentation.terminal import say, say_lines
from taskscheduler_daemon.presentation.text import iso, json_line, json_pretty, local, tsv

_BAR = 40

_LONGEST_STEP = 200

_SECONDS = (
    *("interval", "retry_interval", "retry_interval_max", "retry_for", "start_by"),
    *("timeout", "silence_timeout", "unique_for", "debounce", "debounce_max"),
)

Fields = list[tuple[str, str]]


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
    for name, value in _fields(job, now, settings.fancy):
        _line(settings, name, value)
    for number, step in enumerate(step_rows(job, now)):
        _line(settings, "" if number else "steps", _step(step))
    for number, attempt in enumerate(reversed(job.attempts)):
        _line(settings, "" if number else "attempts", _attempt(attempt, now, settings.fancy))
    for number, change in enumerate(changes):
        _line(settings, "" if number else "history", _change(change))
    if job.data is not None or not job.program:
        _line(settings, "data", json_line(job.data))
    if job.status is Status.DONE:
        _line(settings, "result", json_line(job.result_value))
    _show_error(settings, job)


def _line(settings: Settings, name: str, value: str) -> None:
    say(f"  {settings.paint(f'{name:<9}', dim=True)} {clean(value)}")


def _fields(job: Process, now: datetime, fancy: bool) -> Fields:
    """Returns the fields that have a value, without attempts, data and result."""
    times = [("age", age(job, now)), ("wait", wait_time(job, now)), ("run", run_time(job, now))]
    times += [("try", "" if is_service(job) else tries(job))]
    fields = [
        ("now", news(job, now)),
        ("reason", job.reason or ""),
        ("service", service_name(job)),
        ("restart", restarts(job)),
        ("tags", ", ".join(job.tags)),
        ("queue", str(job.options.get("queue")) + _if(job.options.get("priority"), ", priority {}")),
        ("times", "   ".join(f"{name} {value}" for name, value in times if value)),
        ("added", local(job.created)),
        ("due", due_date(job)),
        ("start by", start_by(job, now)),
        ("claimed", local(job.claimed)),
        ("started", local(job.started) + _if(job.node, " on {}") + _if(job.worker, ", worker {}")),
        ("ended", local(job.ended)),
        ("batch", together(job)),
        ("alive", sign_of_life(job, now)),
        ("progress", _bar(job.progress, fancy) if job.progress else ""),
        ("options", _options(job)),
        ("limits", limit_names(job)),
        ("sequence", sequence(job)),
        ("group", str(job.options.get("group") or "")),
        ("solo", solo_key(job)),
        ("program", program(job)),
        ("fields", _if(job.fields, "{}") and json_line(job.fields)),
        ("flow", _if(job.to_dict().get("flow"), "{}") + _if(job.to_dict().get("label"), ", {}")),
        ("schedule", _if(job.schedule, "{}") + _if(job.scheduled_at, ", run of {}")),
        ("series", _if(job.series, "{}")),
        ("parent", _if(job.parent, "{}")),
        ("mistake", _if(job.fingerprint, "{}")),
        ("lost", _if(job.to_dict().get("lost"), "{} times with its worker or node")),
        ("snoozed", how_often(job.snoozes) if job.snoozes else ""),
        ("signals", _if(", ".join(unheard(job)), "{}: not waited for yet")),
        ("suspect", _if(job.to_dict().get("suspect"), "runs alone: others were lost with it, too")),
    ]
    return [(name, value) for name, value in fields if value]


def _if(value: Any, form: str) -> str:
    return form.format(value) if value else ""


def _bar(percent: float, fancy: bool) -> str:
    full = round(percent / 100 * _BAR)
    done, open_ = ("█", "░") if fancy else ("#", ".")
    return f"{done * full}{open_ * (_BAR - full)} {percent:.4g}%"


def _options(job: Process) -> str:
    return ", ".join(f"{name} {_option(name, value)}" for name, value in chosen_options(job).items())


def _option(name: str, value: Any) -> str:
    if isinstance(value, datetime):
        return local(value)
    if name == "backoff":
        return " ".join(map(brief, value)) if isinstance(value, list) else str(value)
    return brief(value) if name in _SECONDS and value != -1 else str(value)


def _attempt(attempt: dict[str, Any], now: datetime, fancy: bool) -> str:
    status = attempt["status"]
    look = attempt_look(status)
    where = str(attempt.get("node") or "")
    parts = [
        f"#{attempt.get('attempt')}",
        f"{look.glyph if fancy else look.ascii} {attempt_label(attempt)}",
        local(attempt.get("started")),
        lasted(attempt, now),
        spent(attempt),
        _if(where, "on {}"),
    ]
    return "  ".join(part for part in [*parts, attempt_note(attempt)] if part)


def _step(step: StepRow) -> str:
    state = step.state if len(step.state) <= _LONGEST_STEP else f"{step.state[:_LONGEST_STEP]}..."
    return f"{step.name}  #{step.attempt}  {step.at}  {state}"


def _change(change: StatusChange) -> str:
    return f"{local(change.at)}  {change.status.label} #{change.attempt}" + _if(change.node, " on {}")


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
