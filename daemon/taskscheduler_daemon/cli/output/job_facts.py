"""The facts about a job that people read: those of `taskscheduler show`, and of a line of `taskscheduler top`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from taskscheduler.process import Process
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import (
    age,
    attempt_label,
    attempt_look,
    attempt_note,
    error_line,
    lasted,
    news,
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
from taskscheduler_daemon.presentation.steps import due_date, unheard
from taskscheduler_daemon.presentation.text import json_line, local

_BAR = 40

_SECONDS = (
    *("interval", "retry_interval", "retry_interval_max", "retry_for", "start_by"),
    *("timeout", "silence_timeout", "unique_for", "debounce", "debounce_max"),
)

Fields = list[tuple[str, str]]


def fields_of(job: Process, now: datetime, fancy: bool) -> Fields:
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


def described(job: Process, now: datetime) -> list[str]:
    """Returns what there is to say about a job in plain lines, without its data and result."""
    lines = [f"{job.job}  {job.id_text}  {state_of(job, False)}"]
    lines += [f"  {name:<9} {value}" for name, value in fields_of(job, now, False)]
    lines += [f"  attempt   {attempt_line(attempt, now, False)}" for attempt in reversed(job.attempts)]
    return [*lines, *([f"  error     {error_line(job.error)}"] if job.error else [])]


def attempt_line(attempt: dict[str, Any], now: datetime, fancy: bool) -> str:
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
