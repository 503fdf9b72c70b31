"""Wakes nodes for jobs that were just stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskscheduler.model.control.keys import RATE, kind_and_name, read_group_list
from taskscheduler.model.control.urgency import urgent_and_waiting
from taskscheduler.model.lifecycle import Status
from taskscheduler.store import Store


def announce_urgent(store: Store, job: Mapping[str, Any]) -> None:
    """Tells busy nodes of a job that is about to be stored, if it is urgent."""
    if urgent := urgent_and_waiting([job]):
        store.wakeups.urgent_comes(urgent)


def wake_nodes(store: Store, jobs: Sequence[Mapping[str, Any]]) -> None:
    """Tells the nodes about new jobs, and admits those whose controls have room."""
    if not jobs:
        return
    if parked := {job["blocked"] for job in jobs if "blocked" in job}:
        store.admission.admit_next(parked)  # first: what a rate has kept back is looked for when nodes hear of it
        if any(kind_and_name(text)[0] == RATE for text in parked):
            store.wakeups.rates_awaited()
    others = [job for job in jobs if read_group_list(job.get("blocked")) is None]  # nodes have heard of groups by now
    if not others:
        return
    later = any(job["status"] == Status.POSTPONED for job in others)
    forced = any(job["options"]["force_spawn"] or "async" in job for job in others)
    ids, queues = [job["_id"] for job in others], {job["queue"] for job in others}
    are_seen = all(job.get("wake") is True for job in others)
    store.wakeups.jobs_added(ids, queues, later, forced, urgent_and_waiting(others), are_seen)
