"""Turns counts, running jobs and mistakes into short plain values for the overview."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from taskscheduler.model.failures import Failure
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler.store.job_lists import CAP
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import count, progress, run_time
from taskscheduler_daemon.presentation.kinds import is_service, service_name
from taskscheduler_daemon.presentation.node import DRAINING, LOST, SILENT, UP, busy, node_state
from taskscheduler_daemon.web.pages.truncate import line
from taskscheduler_daemon.web.pages.view_models import Row, status_view

HOUR = 3600


def live_tiles(
    counts: Mapping[Status, int],
    queues: Sequence[Backlog],
    nodes: Sequence[Mapping[str, Any]],
    next_due: float | None,
) -> list[Row]:
    """Returns how much there is to do now."""
    waits = [one.oldest for one in queues]
    up = [node for node in nodes if node_state(node) == UP]
    slots, taken = sum(_slots(node) for node in up), sum(busy(node) for node in up)
    texts = {
        Status.WAITING: f"oldest {brief(max(waits))}" if waits else "",
        Status.POSTPONED: "" if next_due is None else f"next in {brief(next_due)}" if next_due > 0 else "next now",
        Status.PROCESSING: f"{taken} of {slots} slots" if up else "no node is up",
    }
    return [_tile(status, counts[status], text) for status, text in texts.items()]


def _slots(node: Mapping[str, Any]) -> int:
    slots = node.get("slots")
    return slots if isinstance(slots, int) else 0


def ended_tiles(ended: Mapping[Status, int]) -> list[Row]:
    """Returns what ended within the hour, and what part of it went wrong; counts end at CAP, and so the texts say."""
    total = sum(ended.values())
    is_more = any(number > CAP for number in ended.values())
    texts = {status: _part(number, total, is_more) for status, number in ended.items()}
    done = ended[Status.DONE]
    over = "over " if done > CAP else ""
    texts[Status.DONE] = f"{over}{brief_number(min(done, CAP) / 60)} a minute" if done else ""
    return [_tile(status, ended[status], text, "ended:>-1h") for status, text in texts.items()]


def brief_number(value: float) -> str:
    """Returns a number with two digits at most behind the point: `0.25`, `1.5`, `80`."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _part(number: int, total: int, is_more: bool) -> str:
    """Returns a part in percent; `is_more`: the total is more than that."""
    if not number or number > CAP:
        return ""
    return f"{'under ' if is_more else ''}{brief_number(100 * number / total)} %"


def _tile(status: Status, number: int, text: str, within: str = "") -> Row:
    query = {"status": status.label, **({"q": within} if within else {})}
    return {
        "status": status_view(status),
        "count": count(number),
        "zero": number == 0,
        "text": text,
        "link": f"jobs?{urlencode(query)}",
        "suffix": " 1h" if within else "",
    }


def node_tile(nodes: Sequence[Mapping[str, Any]]) -> Row:
    """Returns how many nodes are up, and how many are not."""
    states = [node_state(node) for node in nodes]
    missing = [f"{states.count(state)} {state.lower()}" for state in (DRAINING, SILENT, LOST) if state in states]
    level = "up" if not missing and UP in states else "silent" if UP in states else "lost"
    return {"up": states.count(UP), "text": ", ".join(missing), "level": level}


def most_urgent(queues: Iterable[Row]) -> list[Row]:
    """Returns queues in the order in which somebody should look at them: not served, paused, the others."""
    return sorted(queues, key=lambda one: 0 if not one["served"] else 1 if one["paused"] else 2)


def running_row(job: Process, now: datetime) -> Row:
    """Returns a job that runs, with how far it is."""
    return {
        "id": job.id_text,
        "job": line(service_name(job) if is_service(job) else job.job, 80),
        "where": line(" ".join(str(part) for part in (job.node,) if part), 80),
        "progress": job.progress,
        "message": line(progress(job), 120),
        "run": run_time(job, now),
    }


def failure_row(failure: Failure, now: datetime) -> Row:
    """Returns a mistake by which jobs fail."""
    query = urlencode({"q": f"fingerprint:{failure.fingerprint}"}, errors="replace")
    return {
        "key": query,
        "count": count(failure.count, failure.is_complete),
        "job": line(failure.job, 80),
        "type": line(failure.type, 80),
        "message": line(failure.message, 200),
        "place": line(failure.place or "", 200),
        "first": brief(max(0.0, (now - failure.first).total_seconds())),
        "last": brief(max(0.0, (now - failure.last).total_seconds())),
        "example": str(failure.example),
    }
