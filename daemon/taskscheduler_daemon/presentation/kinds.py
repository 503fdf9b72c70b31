"""Describes what is special about services, solo jobs and records of programs that no node runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.text import local

#: the kinds of jobs, and the queries that find them
KINDS: Mapping[str, Mapping[str, Any]] = {
    "service": {"service.name": {"$exists": True}},
    "program": {"program": {"$exists": True}},
    "solo": {"solo": {"$exists": True}},
}

WAITS_FOR_SOLO = "waits for its turn"


def is_service(job: Process) -> bool:
    """Returns whether a job is a service."""
    return bool(_stored(job, "service"))


def is_parked(job: Process) -> bool:
    """Returns whether a solo job is due but waits for another job with its key."""
    return job.status is Status.POSTPONED and "parked_at" in job.to_dict()


def service_name(job: Process) -> str:
    """Returns the name of a service, or nothing for any other job."""
    return str(_stored(job, "service").get("name") or "")


def program(job: Process) -> str:
    """Returns the process of a recorded program, such as `pid 17 on web-1`, or nothing for any other job."""
    process = _stored(job, "program")
    return f"pid {process.get('pid', '?')} on {process.get('host', '?')}" if process else ""


def kind(job: Process) -> str:
    """Returns the kind of a job in a list, or nothing for a plain job."""
    name = service_name(job)
    return ("service" if name == job.job else f"service {name}") if name else program(job)


def restarts(job: Process) -> str:
    """Returns the restart policy of a service, its starts and its failures in a row."""
    service = _stored(job, "service")
    if not service:
        return ""
    failures = service.get("failures")
    return f"{service.get('restart')}, started {_times(job.attempt)}" + (
        f", {failures} quick failures in a row" if isinstance(failures, int) and failures > 1 else ""
    )


def solo_key(job: Process) -> str:
    """Returns the key of a solo job, and whether it waits for another job with this key."""
    key = job.options.get("solo")
    return "" if key is None else f"{key}, {WAITS_FOR_SOLO}" if is_parked(job) else str(key)


def sign_of_life(job: Process, now: datetime) -> str:
    """Returns when a running job last gave a sign of life."""
    if job.status is not Status.PROCESSING or job.alive is None:
        return ""
    return f"{local(job.alive)}, {brief(max(0.0, (now - job.alive).total_seconds()))} ago"


def chosen_options(job: Process) -> dict[str, Any]:
    """Returns the options that were chosen, without those that are shown elsewhere or follow from the kind of job."""
    hidden = {"at", "queue", "priority", "parent", "tags", "solo"} | ({"force_spawn"} if is_service(job) else set())
    chosen = {
        name: value for name, value in job.options.items() if name not in hidden and value not in (0, False, None)
    }
    for name, detail in (("retry", "retry_interval"), ("interval", "interval_reference")):
        if name not in chosen:
            chosen.pop(detail, None)
    return chosen


def failing(job: Process) -> str:
    """Returns how often in a row a service has failed that waits for its next start, such as `8 times`."""
    failures = _stored(job, "service").get("failures")
    waits = job.status is Status.POSTPONED
    return _times(failures) if waits and type(failures) is int and failures > 0 else ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _stored(job: Process, name: str) -> Mapping[str, Any]:
    value = job.to_dict().get(name)
    return value if isinstance(value, Mapping) else {}
