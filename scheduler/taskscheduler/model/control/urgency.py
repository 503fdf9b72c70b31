"""Urgent jobs: those of a priority above the usual one, which their messages name, and may pass others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.model.lifecycle import Status
from taskscheduler.model.sound import sound

USUAL_PRIORITY = 0  #: jobs of a higher one are urgent

MOST_NAMED = 64  #: urgent jobs in one message; nodes find the others at their next search


class UrgentJob(NamedTuple):
    """A job that waits and is urgent, as a message names it."""

    job_id: ObjectId
    queue: str
    priority: int
    coming: bool = False  #: whether it is being stored: another message follows once it is


def urgent_among(jobs: Iterable[Mapping[str, Any]]) -> list[UrgentJob]:
    """Returns the urgent ones of these stored jobs, which wait for a slot or are about to.

    Async jobs and those of `force_spawn` take no slot, and those that gather for a batch wait for others.
    """
    return [
        UrgentJob(job["_id"], str(job.get("queue")), priority)
        for job in jobs
        if (priority := sound(job, "priority", USUAL_PRIORITY)) > USUAL_PRIORITY and _takes_slot(job)
    ]


def _takes_slot(job: Mapping[str, Any]) -> bool:
    if "async" in job or "batch" in job:
        return False
    return sound(job, "options", {}).get("force_spawn") is not True


def urgent_and_waiting(jobs: Iterable[Mapping[str, Any]]) -> list[UrgentJob]:
    """Returns those of these stored jobs that are urgent and wait for a slot now."""
    return urgent_among(job for job in jobs if job.get("status") == Status.WAITING)


def urgent_part(jobs: Iterable[UrgentJob]) -> list[dict[str, Any]]:
    """Returns what a message says of these jobs: the most urgent ones, in the order in which they are to be claimed."""
    first = sorted(jobs, key=lambda job: -job.priority)[:MOST_NAMED]
    return [_entry(job) for job in first]


def _entry(job: UrgentJob) -> dict[str, Any]:
    entry = {"job": job.job_id, "queue": job.queue, "priority": job.priority}
    return {**entry, "coming": True} if job.coming else entry


def read_urgent(value: Any) -> list[UrgentJob]:
    """Returns the jobs in this part of a message, which anybody may have written."""
    entries = value if isinstance(value, list) else []
    fields = ("job", "queue", "priority", "coming")
    named = [tuple(one.get(field) for field in fields) for one in entries if isinstance(one, Mapping)]
    return [
        UrgentJob(job_id, queue, priority, coming is True)
        for job_id, queue, priority, coming in named
        if isinstance(job_id, ObjectId) and type(queue) is str and type(priority) is int
    ]
