"""Describes what is special about services, controlled jobs and records of programs that no node runs."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import datetime
from typing import Any

from taskscheduler.model.control.keys import (
    FLOW,
    GROUP,
    LIMIT,
    NODE,
    RATE,
    SEQUENCE,
    SOLO,
    blocks_sequence,
    kind_and_name,
)
from taskscheduler.model.control.pauses import pause_of_key
from taskscheduler.model.lifecycle import DEAD_LETTERS, Status
from taskscheduler.model.sound import sound
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.pause import what
from taskscheduler_daemon.presentation.text import local

#: options that mean nothing without retries
_OF_RETRIES = ("retry_interval", "backoff", "retry_interval_max", "jitter", "retry_for")

_WAITS_FOR = {
    SEQUENCE: "its turn in sequence {}",
    LIMIT: "a place of limit {}",
    RATE: "the rate {}",
    SOLO: "another job with the key {}",
    NODE: "a node that runs such jobs",
    GROUP: "the turn of its group",
    FLOW: "the jobs before it in its flow",
}

#: options that are shown each in a line of its own
_OF_CONTROLS = frozenset({"solo", "limits", "sequence", "sequence_on_failure", "group"})


def is_service(job: Process) -> bool:
    """Returns whether a job is a service."""
    return bool(_stored(job, "service"))


def is_parked(job: Process) -> bool:
    """Returns whether a job is due but waits for a limit, its sequence, or another job with its key."""
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


def restart_policy(job: Process) -> str:
    """Returns when a service is started again, or nothing for any other job."""
    return str(_stored(job, "service").get("restart") or "")


def restarts(job: Process) -> str:
    """Returns the restart policy of a service, its starts and its failures in a row."""
    service = _stored(job, "service")
    if not service:
        return ""
    failures = service.get("failures")
    return f"{restart_policy(job)}, started {how_often(job.attempt)}" + (
        f", {failures} quick failures in a row" if isinstance(failures, int) and failures > 1 else ""
    )


def waits_for(job: Process) -> str:
    """Returns what a job waits for that is due, such as `waits for a place of limit stripe`; nothing for any other."""
    if not is_parked(job):
        return ""
    blocked = sound(job.to_dict(), "blocked", "")
    kind, name = kind_and_name(blocked)
    if (pause := pause_of_key(blocked)) is not None:
        return f"paused: {what(pause)}"
    return "waits for " + _WAITS_FOR.get(kind, "its turn").format(name)  # version 0.1.0 does not say for what


def blocks(job: Process) -> str:
    """Returns the sequence that a failed job keeps waiting, such as `blocks sequence account-42`, or nothing."""
    is_in_the_way = job.status in DEAD_LETTERS and "turn" in job.to_dict()
    return f"blocks sequence {job.options.get('sequence')}" if is_in_the_way else ""


def limit_names(job: Process) -> str:
    """Returns the names of the limits that a job is under."""
    return ", ".join(map(str, sound(job.to_dict(), "limits", ())))


def sequence(job: Process) -> str:
    """Returns the sequence of a job, and whether its failure blocks that."""
    name = job.options.get("sequence")
    return "" if name is None else f"{name}, blocked if it fails" if blocks_sequence(job.to_dict()) else str(name)


def solo_key(job: Process) -> str:
    """Returns the key of a solo job, or nothing for any other job."""
    return str(job.options.get("solo") or "")


def sign_of_life(job: Process, now: datetime) -> str:
    """Returns when a running job last gave a sign of life."""
    if job.status is not Status.PROCESSING or job.alive is None:
        return ""
    return f"{local(job.alive)}, {brief(max(0.0, (now - job.alive).total_seconds()))} ago"


def chosen_options(job: Process) -> dict[str, Any]:
    """Returns the options that were chosen, without those that are shown elsewhere or follow from the kind of job."""
    return chosen(job.options, _OF_CONTROLS | ({"force_spawn"} if is_service(job) else set()))


def chosen(options: Mapping[str, Any], hidden: Set[str] = frozenset()) -> dict[str, Any]:
    """Returns the options of a job that were chosen, without those that are shown elsewhere."""
    hidden = {"at", "queue", "priority", "parent", "tags", *hidden}
    kept = {name: value for name, value in options.items() if name not in hidden and value not in (0, False, None)}
    if "retry" not in kept:
        kept = {name: value for name, value in kept.items() if name not in _OF_RETRIES}
    elif isinstance(kept.get("backoff"), list):
        kept.pop("retry_interval", None)
    if "interval" not in kept:
        kept.pop("interval_reference", None)
    return kept


def failing(job: Process) -> str:
    """Returns how often in a row a service has failed that waits for its next start, such as `8 times`."""
    failures = _stored(job, "service").get("failures")
    waits = job.status is Status.POSTPONED
    return how_often(failures) if waits and type(failures) is int and failures > 0 else ""


def together(job: Process) -> str:
    """Returns how many jobs a job ran with as one batch in its last attempt; nothing for one that runs by itself."""
    return "" if job.batched is None else "alone" if job.batched <= 1 else f"ran with {job.batched - 1} others"


def how_often(count: int) -> str:
    """Returns how often, in words: `once`, `3 times`."""
    return "once" if count == 1 else f"{count} times"


def _stored(job: Process, name: str) -> Mapping[str, Any]:
    value = job.to_dict().get(name)
    return value if isinstance(value, Mapping) else {}
