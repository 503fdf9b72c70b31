"""Rescues the jobs of lost nodes."""

from __future__ import annotations

from bson import ObjectId

from taskscheduler.model.lifecycle import Status
from taskscheduler.model.retries import MAX_LOST
from taskscheduler.operations.finish import completion_of_lost
from taskscheduler.store import Store


def rescue(
    store: Store, boot: ObjectId, node: str, max_lost: int, queue: str | None = None
) -> list[tuple[ObjectId, Status]]:
    """Rescues all jobs of a lost node, or those of one queue, and returns each with its new status.

    A job that has now lost `max_lost` workers or nodes fails with PoisonedJobError.
    """
    completions = [completion_of_lost(job, node, max_lost) for job in store.leases.jobs_of(boot, queue)]
    if completions:
        store.completions.write(completions)
    return [(completion.fence.job_id, completion.verdict.status) for completion in completions]


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
        queues = {job["queue"] for job in store.jobs.find({"_id": {"$in": job_ids}})}
        store.wakeups.jobs_rearmed(job_ids, queues, forced=True)
