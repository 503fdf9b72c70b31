"""Decides what it takes to try a job again, delete one, or take back what nodes hold that are gone."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock, Deadline
from taskscheduler.errors import InvalidStateError, JobNotFoundError
from taskscheduler.lifecycle import Status
from taskscheduler.record import Document
from taskscheduler.store import Store
from taskscheduler.store.jobs import OnceTakenError
from taskscheduler.store.nodes import grace_of, lease_of

COUNTED_BY: Mapping[str, str] = {"job": "class", "queue": "queue"}  #: what jobs are counted by, and its field

_PATIENCE = 10.0  #: seconds for which a retry contends with others that change the same job
_TOLD_WITHIN = 1.5  #: seconds after which the worker of a cancelled attempt was told to end
_SPARE = 10.0  #: seconds for all that lies between a cancelled service and the word that it is gone
_LOOK_EVERY = 0.03
_MAX_LOST = 3  #: lost workers that set a job aside, as nodes have it unless told otherwise


def requeue(store: Store, job_id: ObjectId, clock: Clock) -> Document:
    """The document of an ended job that waits again. InvalidStateError or JobNotFoundError."""
    deadline = Deadline(_PATIENCE, clock)
    while True:
        job = _ended(store, job_id)
        store.follow_up.settle(job_id)  # its next run and its family first: they follow from how it ended
        _await_killed(store, job, clock)
        try:
            again = store.services.rearm(job) if "service" in job else store.jobs.requeue(job)
        except OnceTakenError as error:
            raise InvalidStateError(
                f"job {job_id} cannot be tried again: another job was added in its place by add_job_once"
            ) from error
        if again is not None:
            tell(store, again)
            return again
        if deadline.passed:
            raise InvalidStateError(f"job {job_id} is changed by others again and again; try later")


def _ended(store: Store, job_id: ObjectId) -> Document:
    job = store.jobs.get(job_id)
    if job is None:
        raise JobNotFoundError(job_id)
    if "program" in job:
        raise InvalidStateError(f"job {job_id} is the record of a program, which only that program can run again")
    status = Status(job["status"])
    if not status.is_final:
        raise InvalidStateError(f"job {job_id} is {status.label}; only a job that has ended can be tried again")
    return job


def _await_killed(store: Store, job: Mapping[str, Any], clock: Clock) -> None:
    """A job that was ended from outside while it ran: its worker must be gone before another one begins."""
    if "service" in job:
        await_gone(store, job["_id"], clock)
        return
    if "gate" in job:
        _await_turn(store, job["_id"])
        return
    by_child = (job.get("error") or {}).get("type") == "ChildJobError"
    if "claim" in job and job.get("ended") and (job["status"] == Status.CANCELED or by_child):
        node = store.nodes.find(job.get("boot"))
        most = _TOLD_WITHIN + grace_of(node or {})
        left = (job["ended"] - store.clock.now()).total_seconds() + most
        threading.Event().wait(max(0.0, min(left, most)))


def _await_turn(store: Store, job_id: ObjectId) -> None:
    """Its node says when nothing is left of a solo job; if that has died, its lease is waited for."""
    pause = threading.Event()
    while store.gates.is_held(job_id):
        pause.wait(_LOOK_EVERY)


def await_gone(store: Store, job_id: ObjectId, clock: Clock) -> None:
    """Return when nothing is left of the process of a service that was cancelled; at once for any other job.

    Its node says when; a node that is gone has taken the process with it. InvalidStateError if neither happens.
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
            raise InvalidStateError(f"service {job['service']['name']!r} was stopped, but its node does not say so")
        pause.wait(_LOOK_EVERY)


def tell(store: Store, job: Mapping[str, Any]) -> None:
    store.messages.added([job["_id"]], [job["queue"]], later=True, forced=job["options"]["force_spawn"])
    store.events.append([{"job": job["_id"], "status": job["status"], "attempt": job["attempt"]}])
    if "solo" in job:
        store.gates.let_next_in([job["solo"]])


def delete(store: Store, job_id: ObjectId) -> bool:
    """Delete a job once what it owes is paid; stop it if it runs. False if somebody else was faster."""
    store.follow_up.settle(job_id)
    await_gone(store, job_id, store.clock)
    ended = store.jobs.get(job_id)
    if ended is not None and "gate" in ended:
        _await_killed(store, ended, store.clock)  # with the document the lock would go
    deleted = store.jobs.delete_one(job_id)
    if deleted is not None and "solo" in deleted:
        store.gates.let_next_in([deleted["solo"]])
    if deleted is not None and deleted["status"] == Status.PROCESSING:
        store.messages.stop([job_id])
    return deleted is not None


def restore(store: Store, queue: str | None) -> int:
    """Take back the jobs of nodes that are gone; how many of them wait again. A job lost too often fails instead."""
    owners = store.claims.owners()  # first: a node registers before it claims
    nodes = {node["_id"]: node for node in store.nodes.all()}
    waiting: list[ObjectId] = []
    for boot in owners:
        node = nodes.get(boot)
        if node is not None and not store.nodes.is_over(node):
            continue
        name = str(boot) if node is None else str(node["name"])
        for job_id, status in store.claims.take_back(boot, name, _MAX_LOST, queue):
            if status.is_final:
                store.follow_up.settle(job_id)
            else:
                waiting.append(job_id)
    _tell_all(store, waiting)
    store.gates.sweep()
    return len(waiting)


def _tell_all(store: Store, job_ids: list[ObjectId]) -> None:
    if job_ids:
        queues = {job["queue"] for job in store.jobs.find({"_id": {"$in": job_ids}})}
        store.messages.added(job_ids, queues, later=True, forced=True)
