"""Rescues the jobs of lost nodes."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from taskscheduler.model.lifecycle import Status
from taskscheduler.model.readable import Fault, fault_of_held
from taskscheduler.model.retries import MAX_LOST
from taskscheduler.operations.finish import completion_of_lost
from taskscheduler.operations.set_aside import set_aside
from taskscheduler.store import Store
from taskscheduler.store.attempt_updates import Completion
from taskscheduler.store.driver_errors import StoreError, brief, is_refusal


def rescue(
    store: Store, boot: ObjectId, node: str, max_lost: int, queue: str | None = None
) -> list[tuple[ObjectId, Status]]:
    """Rescues all jobs of a lost node, or those of one queue, and returns each with its new status.

    A job that has now lost `max_lost` workers or nodes fails with PoisonedJobError.
    """
    completions, failed = [], list[tuple[ObjectId, Status]]()
    for job in store.leases.jobs_of(boot, queue):
        fault = fault_of_held(job)
        if fault is None:
            completions.append(completion_of_lost(job, node, max_lost))
        elif set_aside(store, job["_id"], fault, _held_by(boot)):
            failed.append((job["_id"], Status.FAILED))
    written = _write(store, boot, completions) if completions else []
    return [(completion.fence.job_id, completion.verdict.status) for completion in written] + failed


def _held_by(boot: ObjectId) -> dict[str, Any]:
    return {"boot": boot, "status": int(Status.PROCESSING)}


def _write(store: Store, boot: ObjectId, completions: list[Completion]) -> list[Completion]:
    """Writes losses and returns them without those that MongoDB refuses, whose jobs fail."""
    try:
        store.completions.write(completions)
    except StoreError as error:
        if not is_refusal(error):
            raise
        if len(completions) > 1:
            return [one for completion in completions for one in _write(store, boot, [completion])]
        refused = Fault("document", f"does not take the end of its attempt: {brief(error)}")
        set_aside(store, completions[0].fence.job_id, refused, _held_by(boot))
        return []
    return completions


def restore(store: Store, queue: str | None) -> int:
    """Rescues the jobs of all lost nodes and returns how many wait again; a job that was lost too often fails."""
    owners = store.leases.owners()  # first: a node registers before it claims
    nodes = {node["_id"]: node for node in store.nodes.all()}
    waiting: list[ObjectId] = []
    for boot in owners:
        node = nodes.get(boot)
        if node is not None and not store.nodes.is_over(node):
            continue
        name = str(boot) if node is None else str(node["name"])
        for job_id, status in rescue(store, boot, name, MAX_LOST, queue):
            if status.is_final:
                store.outbox.deliver(job_id)
            else:
                waiting.append(job_id)
    _announce(store, waiting)
    store.solo_locks.sweep()
    return len(waiting)


def _announce(store: Store, job_ids: list[ObjectId]) -> None:
    if job_ids:
        queues = {str(job.get("queue")) for job in store.jobs.find({"_id": {"$in": job_ids}})}
        store.wakeups.jobs_rearmed(job_ids, queues, forced=True)
