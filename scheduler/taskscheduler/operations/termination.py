"""Waits until the process of a cancelled job is gone, so that two attempts never overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import InvalidStateError
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.nodes import grace_of, lease_of
from taskscheduler.model.services import stop_time
from taskscheduler.model.sound import sound_job, status_of
from taskscheduler.store import Store

_INTERRUPTED_WITHIN = 1.5  #: seconds after a cancellation until the worker has been interrupted

_SPARE = 10.0  #: seconds between the last moment at which a process may be killed and the write that says it is gone

_LOOK_EVERY = 0.03


def await_killed(store: Store, job: Mapping[str, Any], clock: Clock) -> None:
    """Waits until the process of a job that was cancelled while it ran is gone; returns at once for any other job.

    `job` is sound: see `sound_job`. For services and solo jobs their node confirms it. For other jobs it waits as long
    as their worker may live after the cancellation. InvalidStateError if the process outlives its lease.
    """
    if "service" in job:
        await_gone(store, job["_id"], clock)
    elif "gate" in job:
        _await_lock(store, job, clock)
    else:
        _await_kill(store, job, clock)


def may_run(job: Mapping[str, Any]) -> bool:
    """Whether `await_killed` may have to wait for an ended job that is no service."""
    return "gate" in job or _was_killed(job)


def _was_killed(job: Mapping[str, Any]) -> bool:
    by_child = (job.get("error") or {}).get("type") == "ChildJobError"
    return "claim" in job and bool(job.get("ended")) and (status_of(job) is Status.CANCELED or by_child)


def _await_kill(store: Store, job: Mapping[str, Any], clock: Clock) -> None:
    if _was_killed(job):
        node = store.nodes.find(job.get("boot"))
        most = _INTERRUPTED_WITHIN + grace_of(node or {})
        left = (job["ended"] - store.clock.now()).total_seconds() + most
        clock.pause(max(0.0, min(left, most)))


def _await_lock(store: Store, job: Mapping[str, Any], clock: Clock) -> None:
    """Waits for the lock of a solo job, which its node releases, or which expires with the lease of a lost node."""
    deadline = None
    while store.places.is_held(job["_id"]):
        deadline = deadline or Deadline(_longest_hold(store, job), clock)
        if deadline.passed:
            raise InvalidStateError(
                f"job {job['_id']} was cancelled, but its process is still there: {_holder(store, job)}; "
                "end that process and try again"
            )
        deadline.pause(_LOOK_EVERY)


def _longest_hold(store: Store, job: Mapping[str, Any]) -> float:
    """Returns the seconds after which a lock has expired, unless a living node extends it for its process."""
    until = job.get("gate_until")
    left = (until - store.clock.now()).total_seconds() if until is not None else 0.0
    return max(left, lease_of(store.nodes.find(job.get("boot")) or {})) + _SPARE


def _holder(store: Store, job: Mapping[str, Any]) -> str:
    if "program" in job:
        return f"pid {job['program'].get('pid')} on {job['program'].get('host')}"
    node = store.nodes.find(job.get("boot")) or {}
    return f"attempt {job['attempt']} on node {node.get('name') or job.get('node')}"


def await_gone(store: Store, job_id: ObjectId, clock: Clock) -> None:
    """Waits until the process of a cancelled service is gone; returns at once for any other job.

    The node of the service confirms it; a node that is lost has taken the process with it. InvalidStateError if
    neither happens within the time to stop and the lease.
    """
    deadline = None
    while True:
        job = store.jobs.get(job_id)
        job = None if job is None else sound_job(job)
        if job is None or "service" not in job or "claim" not in job or status_of(job) is not Status.CANCELED:
            return
        node = store.nodes.find(job.get("boot"))
        if node is None or store.nodes.is_over(node):
            return
        deadline = deadline or Deadline(stop_time(job) + lease_of(node) + _SPARE, clock)
        if deadline.passed:
            raise InvalidStateError(
                f"service {job['service'].get('name')!r} was stopped, but its process is still there: "
                f"{_holder(store, job)}; end that process and try again"
            )
        deadline.pause(_LOOK_EVERY)
