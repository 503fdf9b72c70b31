"""Turns one job into short plain values for its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.clean import clean_lines
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import (
    attempt_label,
    attempt_look,
    attempt_note,
    error_line,
    interval,
    lasted,
    news,
    progress,
    run_time,
    spent,
    start_by,
    wait_time,
)
from taskscheduler_daemon.presentation.kinds import (
    blocks,
    chosen_options,
    how_often,
    limit_names,
    program,
    restarts,
    sequence,
    service_name,
    sign_of_life,
    solo_key,
    together,
    waits_for,
)
from taskscheduler_daemon.presentation.steps import StepRow, awaits, due_date, step_rows, unheard
from taskscheduler_daemon.presentation.text import local, plural
from taskscheduler_daemon.web.pages.actions import offered
from taskscheduler_daemon.web.pages.jobs.drawing import BOX, HEIGHT, WIDTH, Course, machine, timeline
from taskscheduler_daemon.web.pages.truncate import clip, line, shown
from taskscheduler_daemon.web.pages.view_models import Row, job_row, status_view

_MOST_TRACEBACK = 10_000

MOST_ATTEMPTS = 100  #: on the page of a job; nodes keep 20, and somebody else may have written more


def job_page(job: Process, now: datetime) -> Row:
    """Returns everything about one job, of its attempts the newest."""
    attempts = job.attempts
    return {
        **job_row(job, now),
        "job": line(job.job, 300),
        "progress": job.progress,
        "message": line(progress(job), 500),
        "facts": [(name, line(value, 500)) for name, value in _facts(job, now) if value],
        "steps": [_step(step) for step in step_rows(job, now)[-MOST_ATTEMPTS:]],
        "earlier_steps": max(0, len(job.steps) - MOST_ATTEMPTS),
        **_attempts(job, attempts[-MOST_ATTEMPTS:], now),
        "machine": _machine(job, now),
        "earlier": max(0, len(attempts) - MOST_ATTEMPTS),
        "data": None if job.program and job.data is None else shown(job.data),
        "result": shown(job.result_value) if job.status is Status.DONE else None,
        "error": _error(job.error),
        "fields": shown(job.fields) if job.fields else None,
        "actions": offered(job),
    }


def _facts(job: Process, now: datetime) -> list[tuple[str, str]]:
    stored = job.to_dict()
    return [
        ("Now", waits_for(job) or awaits(job, now) or blocks(job)),
        ("Reason", job.reason or ""),
        ("Program", program(job)),
        ("Service", service_name(job)),
        ("Restart", restarts(job)),
        ("Limits", limit_names(job)),
        ("Sequence", sequence(job)),
        ("Group", str(job.options.get("group") or "")),
        ("Solo", solo_key(job)),
        ("Flow", str(stored.get("flow") or "")),
        ("Label", str(stored.get("label") or "") if stored.get("flow") else ""),
        ("Schedule", job.schedule or ""),
        ("Scheduled for", local(job.scheduled_at)),
        ("Queue", str(job.options.get("queue") or "")),
        ("Tags", ", ".join(job.tags)),
        ("Priority", str(job.options.get("priority") or "")),
        ("Added", local(job.created)),
        ("Due", due_date(job)),
        ("Start by", start_by(job, now)),
        ("Claimed", local(job.claimed)),
        ("Started", local(job.started)),
        ("Ended", local(job.ended)),
        ("Batch", together(job)),
        ("Wait time", wait_time(job, now)),
        ("Run time", run_time(job, now)),
        ("Last sign of life", sign_of_life(job, now)),
        ("Node", "" if job.program else str(job.node or "")),
        ("Worker", str(job.worker or "")),
        ("Interval", interval(job)),
        ("Options", _options(job)),
        ("Series", str(job.series or "")),
        ("Parent", str(job.parent or "")),
        ("Lost", f"{stored['lost']} times with its worker or node" if stored.get("lost") else ""),
        ("Snoozed", how_often(job.snoozes) if job.snoozes else ""),
        ("Signals not waited for", ", ".join(unheard(job))),
        ("Suspect", "runs alone: others were lost with it, too" if stored.get("suspect") else ""),
    ]


def _options(job: Process) -> str:
    return ", ".join(f"{name} {value}" for name, value in chosen_options(job).items())


def _attempt(attempt: Mapping[str, Any], now: datetime) -> Row:
    status = attempt["status"]
    has_ended = status is not None and status is not Status.POSTPONED
    look = {"name": attempt_label(attempt), "sign": attempt_look(status).glyph}
    return {
        "number": attempt.get("attempt"),
        "status": status_view(status) if has_ended else look,
        "started": local(attempt.get("started")),
        "wait": "" if attempt["wait"] is None else brief(attempt["wait"]),
        "run": lasted(attempt, now),
        "spent": spent(attempt),
        "node": line(attempt.get("node") or "", 80),
        "error": line(attempt_note(attempt), 300),
    }


def _step(step: StepRow) -> Row:
    return {
        "name": line(step.name, 200),
        "state": line(step.state, 300),
        "at": step.at,
        "attempt": step.attempt,
    }


def _error(error: Mapping[str, Any] | None) -> Row | None:
    if not error:
        return None
    known = ("type", "message", "traceback", "place")
    extra = {name: value for name, value in error.items() if name not in known}
    traceback = clip(str(error.get("traceback") or ""), _MOST_TRACEBACK)
    return {
        "line": line(error_line(error), 500),
        "place": line(error.get("place") or "", 200),
        "message": clip("\n".join(clean_lines(str(error.get("message") or ""))), 2000),
        "extra": shown(extra) if extra else "",
        "traceback": "\n".join(clean_lines(traceback)),
    }


def _attempts(job: Process, attempts: Sequence[Mapping[str, Any]], now: datetime) -> Row:
    """Returns the attempts, the newest first, each with its bar, and the marks of their time line."""
    drawn = timeline(attempts, job.created, now)
    bars = drawn["rows"] if drawn else [{"bar": None, "lag": None}] * len(attempts)
    rows = [{**_attempt(one, now), **bar} for one, bar in zip(attempts, bars, strict=True)]
    return {"attempts": rows[::-1], "ticks": drawn["ticks"] if drawn else None}


def _machine(job: Process, now: datetime) -> Row | None:
    """Returns the drawing of its states; None for a status that is none."""
    if job.status not in Status.__members__.values():
        return None
    stored = job.to_dict()
    comes_back = job.status is Status.POSTPONED or job.attempt > 1 or bool(stored.get("retries"))
    notes = {
        Status.WAITING: wait_time(job, now),
        Status.POSTPONED: f"tried {plural(job.attempt, 'time')}" if comes_back else "",
        Status.PROCESSING: run_time(job, now),
        job.status: news(job, now) if job.status is Status.POSTPONED else run_time(job, now) or wait_time(job, now),
    }
    drawn = machine(Course(job.status, job.attempt, comes_back), notes)
    for box in drawn["boxes"]:
        box |= {"status": status_view(box["status"]), "note": line(box["note"], 22)}
    return {**drawn, "width": WIDTH, "height": HEIGHT, "box": BOX}
