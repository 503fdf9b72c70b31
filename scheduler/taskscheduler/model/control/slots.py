"""Slots: how many of them the jobs of a node take, and whether it has room for one more, by what nodes claim by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskscheduler.model.sound import sound

Running = Mapping[str, Any]
"""A job that a node holds: `worker`, `async`, `batch`, and whether it is `forced`, which is its option force_spawn."""


def needs_own_worker(job: Mapping[str, Any]) -> bool:
    """Whether a stored job gets a worker of its own, so that it waits for no slot."""
    return sound(job, "options", {}).get("force_spawn") is True


def shares_worker(job: Mapping[str, Any]) -> bool:
    """Whether a stored job is known to run beside others in one worker."""
    return "async" in job and not needs_own_worker(job)


def slots_taken(node: Mapping[str, Any], jobs: Sequence[Running]) -> int:
    """Returns how many slots are taken: the jobs of one worker share one, jobs with a worker of their own take none."""
    ordinary = [job for job in jobs if not job.get("forced")]
    at_work = {str(job["worker"]) for job in ordinary if job.get("worker")}
    new = [job for job in ordinary if not job.get("worker") and "batch" not in job]  # those gather, or share a worker
    alone = sum(not job.get("async") for job in new)
    shared = len(new) > alone and not any(job.get("async") for job in ordinary if job.get("worker"))
    return min(slots_of(node), len(at_work) + alone + shared)


def slots_of(node: Mapping[str, Any]) -> int:
    """Returns how many jobs a node runs at once."""
    return int(node.get("slots") or 0)


def has_room(node: Mapping[str, Any], jobs: Sequence[Running], job: Mapping[str, Any]) -> bool:
    """Whether a node that holds these jobs claims one more, in a slot or beside the slots.

    A node of an older version does not tell how many jobs it runs beside its slots; it counts as one with room.
    """
    if needs_own_worker(job):
        most = node.get("forced")
        return most is None or sum(bool(one.get("forced")) for one in jobs) < most
    each, slots = node.get("async_jobs"), slots_of(node)
    if each is None:
        return shares_worker(job) or slots_taken(node, jobs) < slots
    if not each:
        return slots_taken(node, jobs) < slots
    shared = sum("async" in one and not one.get("forced") for one in jobs)
    left = slots - slots_taken(node, [one for one in jobs if "async" not in one])
    most_shared = max(1, slots - 1)  # of two or more workers, one is left to the other jobs
    if shares_worker(job):
        return bool(shared < min(most_shared, left) * each)
    return bool(left > (min(most_shared, -(-shared // each)) if slots > 1 else 0))  # they take turns in the only one
