"""How the steps of a job look, and what it has given its slot back for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from taskscheduler.model.control.keys import FAR
from taskscheduler.model.resumable.signals import Signal
from taskscheduler.model.resumable.steps import Kind, awaited
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.text import json_line, local


def awaits(job: Process, now: datetime) -> str:
    """Returns what a job has given its slot back for, such as `waits for signal approved`; nothing for any other."""
    found = awaited(job.to_dict())
    if found is None:
        return ""
    left = 0.0 if found.until is None else (found.until - now).total_seconds()
    if found.kind is Kind.SLEEP:
        return f"sleeps, again in {brief(left)}" if left > 0 else "sleeps, again now"
    if job.at is not None and job.at <= now:
        return "due now"
    limit = "" if found.until is None else f" for another {brief(max(0.0, left))}"
    return f"waits for signal {found.name}{limit}"


def due_date(job: Process) -> str:
    """Returns when a job is due, if that is not when it was added; nothing for one that no date makes due."""
    return local(job.at) if job.at not in (job.created, FAR) else ""


class StepRow(NamedTuple):
    """A step, for people."""

    name: str
    state: str  #: its result, or how far a sleep or wait is
    at: str  #: when the job came to it, or had done it
    attempt: str


def step_rows(job: Process, now: datetime) -> list[StepRow]:
    """Returns the steps, sleeps and waits of a job in the order in which it came to them."""
    return [_row(step, now) for step in job.steps]


def _row(step: Mapping[str, Any], now: datetime) -> StepRow:
    return StepRow(step["name"], _state(step, now), local(step["at"]), str(step["attempt"] or ""))


def _state(step: Mapping[str, Any], now: datetime) -> str:
    if step["kind"] == Kind.STEP:
        return json_line(step["result"])
    until = step["until"] if isinstance(step["until"], datetime) else None
    if step["kind"] == Kind.SLEEP:
        over = until is None or until <= now
        return "slept" if over else f"sleeps until {local(until)}"
    if step["timed_out"]:
        return "signal, did not come in time"
    if step["came"]:
        return f"signal, {json_line(step['result'])}"
    return "signal, has not come" + (f"; it has until {local(until)}" if until else "")


def unheard(job: Process) -> list[str]:
    """Returns the names of the signals that a job was given and has not waited for."""
    waited = {step["name"] for step in job.steps if step["kind"] == Kind.SIGNAL}
    return [name for name in job.signals if name not in waited]


def signal_record(job_id: Any, signal: Signal) -> dict[str, Any]:
    """Returns a signal for programs."""
    about = {"name": signal.name, "value": signal.value, "at": signal.at}
    return {"job": job_id, **about, "won": signal.won, "timed_out": signal.timed_out}


def signal_line(signal: Signal) -> str:
    """Returns in a line whether a signal was the first of its name."""
    if signal.won:
        return f"{signal.name}  set"
    if signal.timed_out:
        return f"{signal.name}  too late: the job has given up waiting for it"
    return f"{signal.name}  set before, to {json_line(signal.value)}"
