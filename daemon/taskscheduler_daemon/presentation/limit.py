"""How a limit looks: its rate in words, who holds its places, and as a record for programs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from taskscheduler.model.control.limits import Limit
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.control.limits import MOST_HOLDERS, Holder, LimitUse
from taskscheduler.store.control.places import MOST_COUNTED
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.text import more_than

COLUMNS = ("LIMIT", "PLACES", "TAKEN", "WAITING", "RATE", "BY")


def rate_of(limit: Limit) -> str:
    """Returns the rate of a limit in words, such as `100 per 1m, 20 at once`; nothing if it has none."""
    if limit.rate is None:
        return ""
    per = "s" if limit.per == 1 else brief(limit.per)
    return f"{limit.rate:.10g} per {per}" + (f", {limit.burst} at once" if limit.burst > 1 else "")


def places_of(limit: Limit) -> str:
    """Returns how many places a limit has, such as `5` or `2 each`; nothing if it is only a rate."""
    if limit.concurrency is None:
        return ""
    return f"{limit.concurrency} each" if limit.name.endswith("*") else str(limit.concurrency)


def at_most(number: int, most: int) -> str:
    """Returns a number that was counted up to `most`."""
    return more_than(most) if number >= most else str(number)


def row(use: LimitUse) -> tuple[str, ...]:
    """Returns the cells of a limit, in the order of COLUMNS."""
    limit = use.limit
    counts = (at_most(use.taken, MOST_HOLDERS), at_most(use.waiting, MOST_COUNTED))
    return (limit.name, places_of(limit), *counts, rate_of(limit), limit.by or "")


def state_of(holder: Holder, now: datetime) -> str:
    """Returns what a job does that holds a place, such as `for 2m on web-1`."""
    where = f" on {holder.node}" if holder.node else ""
    if holder.status is Status.PROCESSING:
        lasts = "" if holder.since is None else brief(max(0.0, (now - holder.since).total_seconds()))
        return (f"for {lasts}" if lasts else "runs") + where
    if holder.status is Status.WAITING:
        return "waits for a slot"
    return holder.status.label + (f", its process may still run{where}" if holder.status.is_final else "")


def record(use: LimitUse) -> dict[str, Any]:
    """Returns a limit for programs."""
    limit = use.limit
    return {
        "name": limit.name,
        "concurrency": limit.concurrency,
        "rate": limit.rate,
        "per": None if limit.rate is None else limit.per,
        "burst": None if limit.rate is None else limit.burst,
        "taken": use.taken,
        "waiting": use.waiting,
        "holders": [_holder(holder) for holder in use.holders],
        "by": limit.by,
        "at": limit.at,
    }


def _holder(holder: Holder) -> dict[str, Any]:
    return {
        "id": holder.job,
        "job": holder.job_class,
        "name": holder.name,
        "state": holder.status.label,
        "since": holder.since,
        "node": holder.node,
    }
