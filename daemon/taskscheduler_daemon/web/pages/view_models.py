"""Turns jobs, queues and nodes into short plain values for the templates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taskscheduler.model.lifecycle import Status
from taskscheduler.model.nodes import serves
from taskscheduler.process import Process
from taskscheduler.store.overview import Backlog
from taskscheduler_daemon.presentation.clean import clean_lines
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import (
    FAILING_LABEL,
    LOOKS,
    age,
    attempt_label,
    attempt_look,
    attempt_note,
    count,
    error_line,
    interval,
    label_of,
    lasted,
    look_of,
    news,
    note,
    progress,
    run_time,
    spent,
    start_by,
    tries,
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
from taskscheduler_daemon.presentation.node import UP, busy, load, node_state
from taskscheduler_daemon.presentation.steps import StepRow, awaits, due_date, step_rows, unheard
from taskscheduler_daemon.presentation.text import iso, local
from taskscheduler_daemon.web.pages.actions import offered
from taskscheduler_daemon.web.pages.truncate import clip, line, shown

_MOST_TRACEBACK = 10_000

MOST_ATTEMPTS = 100  #: on the page of a job; nodes keep 20, and somebody else may have written more

Row = dict[str, Any]


def status_view(status: Status) -> Row:
    """Returns a status with its sign; the style sheet colours it by its name."""
    sign = LOOKS[status].glyph
    return {"name": status.label, "sign": sign if status is not Status.TIMEOUT else "!"}  # few fonts have an hourglass


def state_view(job: Process) -> Row:
    """Returns the status of a job with its sign; a service that fails again and again has the colour of failure."""
    if label_of(job) != FAILING_LABEL:
        return status_view(job.status)
    return {"name": Status.FAILED.label, "sign": look_of(job).glyph, "text": FAILING_LABEL}


def job_row(job: Process, now: datetime) -> Row:
    """Returns a job in a list."""
    return {
        "id": job.id_text,
        "job": line(job.job, 80),
        "queue": line(job.options.get("queue") or "", 40),
        "status": state_view(job),
        "tries": tries(job),
        "age": age(job, now),
        "added": iso(job.created),
        "wait": wait_time(job, now),
        "run": run_time(job, now),
        "note": line(note(job, now), 160),
    }


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
        "attempts": [_attempt(attempt, now) for attempt in reversed(attempts[-MOST_ATTEMPTS:])],
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
    known = ("type", "message", "traceback")
    extra = {name: value for name, value in error.items() if name not in known}
    traceback = clip(str(error.get("traceback") or ""), _MOST_TRACEBACK)
    return {
        "line": line(error_line(error), 500),
        "message": clip("\n".join(clean_lines(str(error.get("message") or ""))), 2000),
        "extra": shown(extra) if extra else "",
        "traceback": "\n".join(clean_lines(traceback)),
    }


def count_tiles(counts: Mapping[Status, int]) -> list[Row]:
    """Returns the number of jobs in each status."""
    return [{"status": status_view(status), "count": count(number)} for status, number in counts.items()]


def service_row(job: Process, now: datetime) -> Row:
    """Returns a service and its state."""
    return {
        "name": line(service_name(job), 80),
        "id": job.id_text,
        "status": state_view(job),
        "starts": job.attempt,
        "node": line(job.node or "", 80),
        "run": run_time(job, now),
        "note": line(news(job, now), 160),
    }


def program_row(job: Process, now: datetime) -> Row:
    """Returns a tracked program."""
    return {
        "name": line(job.job, 80),
        "id": job.id_text,
        "program": line(program(job), 80),
        "run": run_time(job, now),
        "alive": brief(max(0.0, (now - job.alive).total_seconds())) if job.alive else "",
        "note": line(news(job, now), 160),
    }


def queue_row(backlog: Backlog, nodes: list[Mapping[str, Any]]) -> Row:
    """Returns the waiting jobs of a queue, and whether a node serves it."""
    served = any(node_state(node) == UP and serves(node, backlog.queue) for node in nodes)
    return {
        "name": line(backlog.queue, 80),
        "waiting": count(backlog.waiting),
        "oldest": brief(backlog.oldest),
        "served": served,
    }


def node_row(node: Mapping[str, Any]) -> Row:
    """Returns a node and its load."""
    state = node_state(node)
    return {
        "name": line(node.get("name") or node["_id"], 80),
        "version": line(node.get("version") or "", 40),
        "state": "lost" if state not in (UP, "silent") else state,
        "pool": line(node.get("pm") or "", 20),
        "busy": line(load(busy(node), node.get("slots", "?"), int(node.get("running") or 0), " of "), 60),
        "queues": line(", ".join(map(str, node.get("queues") or [])) or "all", 200),
        "process": line(f"{node.get('pid', '?')} on {node.get('host', '?')}", 80),
        "beat": brief(max(0.0, float(node.get("silent") or 0))),
    }
