"""Decides how a job says that it is a service, a solo job, or the record of a program that no node runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.text import local

#: what jobs can be filtered by, and the fields that they are found by
KINDS: Mapping[str, Mapping[str, Any]] = {
    "service": {"service.name": {"$exists": True}},
    "program": {"program": {"$exists": True}},
    "solo": {"solo": {"$exists": True}},
}

WAITS_FOR_ITS_TURN = "waits for its turn"


def is_service(job: Process) -> bool:
    """Whether it is kept alive."""
    return bool(_stored(job, "service"))


def is_parked(job: Process) -> bool:
    """Whether a solo job is due, and another one of its key is at work."""
    return job.status is Status.POSTPONED and "parked_at" in job.to_dict()


def service_name(job: Process) -> str:
    """The name that a service is known by; empty for any other job."""
    return str(_stored(job, "service").get("name") or "")


def program(job: Process) -> str:
    """`pid 17 on web-1`, for the record of a program."""
    known = _stored(job, "program")
    return f"pid {known.get('pid', '?')} on {known.get('host', '?')}" if known else ""


def kind(job: Process) -> str:
    """In a list: what it is, if it is no job as others."""
    name = service_name(job)
    return ("service" if name == job.job else f"service {name}") if name else program(job)


def restarts(job: Process) -> str:
    """After which ends a service is started again, and how it fares."""
    kept = _stored(job, "service")
    if not kept:
        return ""
    failures = kept.get("failures")
    return f"{kept.get('restart')}, started {_times(job.attempt)}" + (
        f", {failures} quick failures in a row" if isinstance(failures, int) and failures > 1 else ""
    )


def turn(job: Process) -> str:
    """The key of a solo job, and whether another one of it is at work."""
    key = job.options.get("solo")
    return "" if key is None else f"{key}, {WAITS_FOR_ITS_TURN}" if is_parked(job) else str(key)


def sign_of_life(job: Process, now: datetime) -> str:
    """When a job that runs was last heard of."""
    if job.status is not Status.PROCESSING or job.alive is None:
        return ""
    return f"{local(job.alive)}, {brief(max(0.0, (now - job.alive).total_seconds()))} ago"


def given_options(job: Process) -> dict[str, Any]:
    """The options that somebody chose, without those that are told elsewhere or follow from what the job is."""
    hidden = {"at", "queue", "priority", "parent", "tags", "solo"} | ({"force_spawn"} if is_service(job) else set())
    chosen = {
        name: value for name, value in job.options.items() if name not in hidden and value not in (0, False, None)
    }
    for name, detail in (("retry", "retry_interval"), ("interval", "interval_reference")):
        if name not in chosen:
            chosen.pop(detail, None)
    return chosen


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _stored(job: Process, name: str) -> Mapping[str, Any]:
    value = job.to_dict().get(name)
    return value if isinstance(value, Mapping) else {}
