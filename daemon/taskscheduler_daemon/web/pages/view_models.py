"""Turns jobs, queues and nodes into short plain values for the templates."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from taskscheduler.model.lifecycle import Status
from taskscheduler.model.nodes import serves
from taskscheduler.process import Process
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import (
    FAILING_LABEL,
    LOOKS,
    age,
    count,
    label_of,
    look_of,
    news,
    note,
    run_time,
    tries,
    wait_time,
)
from taskscheduler_daemon.presentation.kinds import (
    program,
    service_name,
)
from taskscheduler_daemon.presentation.node import DRAINING, LOST, SILENT, UP, busy, load, node_state
from taskscheduler_daemon.presentation.text import iso
from taskscheduler_daemon.web.pages.truncate import line

Row = dict[str, Any]

_URGENT = (LOST, SILENT, DRAINING, UP)

_LATELY = 3600  #: seconds for which a lost node is news


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


def queue_row(backlog: Backlog, nodes: Sequence[Mapping[str, Any]], paused: Container[str | None] = ()) -> Row:
    """Returns the waiting jobs of a queue, whether a node serves it, and whether it is one of the paused queues."""
    served = any(node_state(node) == UP and serves(node, backlog.queue) for node in nodes)
    return {
        "name": line(backlog.queue, 80),
        "waiting": count(backlog.waiting, backlog.is_complete),
        "oldest": brief(backlog.oldest),
        "served": served,
        "paused": backlog.queue in paused,
    }


def urgent_first(nodes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns nodes in the order in which somebody should look at them; those lost long ago are last."""
    return sorted(nodes, key=_urgency)


def _urgency(node: Mapping[str, Any]) -> int:
    state = node_state(node)
    if state == LOST and float(node.get("silent") or 0) > _LATELY:
        return len(_URGENT)
    return _URGENT.index(state) if state in _URGENT else 0


def node_row(node: Mapping[str, Any]) -> Row:
    """Returns a node and its load."""
    state = node_state(node)
    taken = load(busy(node), node.get("slots", "?"), int(node.get("running") or 0), " of ")
    return {
        "name": line(node.get("name") or node["_id"], 80),
        "version": line(node.get("version") or "", 40),
        "state": "lost" if state not in (UP, DRAINING, SILENT) else state,
        "pool": line(node.get("pm") or "", 20),
        "busy": "" if state == LOST else line(taken, 60),
        "queues": line(", ".join(map(str, node.get("queues") or [])) or "all", 200),
        "process": line(f"{node.get('pid', '?')} on {node.get('host', '?')}", 80),
        "beat": brief(max(0.0, float(node.get("silent") or 0))),
    }
