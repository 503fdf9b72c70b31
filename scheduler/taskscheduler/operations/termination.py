"""Wait until nothing is left of the process of a cancelled job."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import InvalidStateError
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.nodes import grace_of, lease_of
from taskscheduler.store import Store

_SIGNALLED_WITHIN = 1.5  #: seconds within which the worker of a cancelled attempt is sent its signal

_SPARE = (
    10.0  #: seconds for all that lies between the cancellation of a service and the report that its process is gone
)

_LOOK_EVERY = 0.03


def await_killed(store: Store, job: Mapping[str, Any], clock: Clock) -> None:
    """Waits until the worker of a cancelled job is gone, so that two attempts never overlap."""
    if "service" in job:
        await_gone(store, job["_id"], clock)
        return
    if "gate" in job:
        _await_lock(store, job["_id"])
        return
    by_child = (job.get("error") or {}).get("type") == "ChildJobError"
    if "claim" in job and job.get("ended") and (job["status"] == Status.CANCELED or by_child):
        node = store.nodes.find(job.get("boot"))
        most = _SIGNALLED_WITHIN + grace_of(node or {})
        left = (job["ended"] - store.clock.now()).total_seconds() + most
        threading.Event().wait(max(0.0, min(left, most)))


def _await_lock(store: Store, job_id: ObjectId) -> None:
    """Waits until the node of a solo job has released its lock, or the lease of that node is over."""
    pause = threading.Event()
    while store.solo_locks.is_held(job_id):
        pause.wait(_LOOK_EVERY)


def await_gone(store: Store, job_id: ObjectId, clock: Clock) -> None:
    """Waits until the process of a cancelled service is gone; returns at once for any other job.

    Its node reports that; a node that is gone has taken the process with it. InvalidStateError if neither happens.
    """
    pause, deadline = threading.Event(), None
    while True:
        job = store.jobs.get(job_id)
        if job is None or "service" not in job or "claim" not in job or job["status"] != Status.CANCELED:
            return
        node = store.nodes.find(job["boot"])
        if node is None or store.nodes.is_over(node):
            return
        patience = job["service"]["stop_hard"] + lease_of(node) + _SPARE
        deadline = deadline or Deadline(patience, clock)
        if deadline.passed:
            raise InvalidStateError(
                f"service {job['service']['name']!r} was stopped, but its node does not report that the process is gone"
            )
        pause.wait(_LOOK_EVERY)
