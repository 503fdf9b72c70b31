"""Rescue the jobs of lost nodes at once."""

from __future__ import annotations

from bson import ObjectId

from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.finish import completion_of_lost
from taskscheduler.store import Store

_MAX_LOST = 3  #: lost workers after which a job fails; the default of nodes


def rescue(
    store: Store, boot: ObjectId, node: str, max_lost: int, queue: str | None = None
) -> list[tuple[ObjectId, Status]]:
    """Rescues the jobs of a lost node, of all queues or one; returns the id and the new status of each.

    A job that was lost `max_lost` times fails.
    """
    completions = [completion_of_lost(job, node, max_lost) for job in store.leases.jobs_of(boot, queue)]
    if completions:
        store.completions.write(completions)
    return [(one.fence.job_id, one.verdict.status) for one in completions]


def restore(store: Store, queue: str | None) -> int:
    """Rescues the jobs of nodes that are gone; returns how many wait again. A job lost too often fails instead."""
    owners = store.leases.owners()  # first: a node registers before it claims
    nodes = {node["_id"]: node for node in store.nodes.all()}
    waiting: list[ObjectId] = []
    for boot in owners:
        node = nodes.get(boot)
        if node is not None and not store.nodes.is_over(node):
            continue
        name = str(boot) if node is None else str(node["name"])
        for job_id, status in rescue(store, boot, name, _MAX_LOST, queue):
            if status.is_final:
                store.outbox.deliver(job_id)
            else:
                waiting.append(job_id)
    _wake_nodes(store, waiting)
    store.solo_locks.sweep()
    return len(waiting)


def _wake_nodes(store: Store, job_ids: list[ObjectId]) -> None:
    if job_ids:
        queues = {job["queue"] for job in store.jobs.find({"_id": {"$in": job_ids}})}
        store.wakeups.jobs_added(job_ids, queues, later=True, forced=True)
