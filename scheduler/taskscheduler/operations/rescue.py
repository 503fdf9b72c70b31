"""Take back at once what lost nodes hold."""

from __future__ import annotations

from bson import ObjectId

from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.finish import completion_of_lost
from taskscheduler.store import Store

_MAX_LOST = 3  #: lost workers that set a job aside, as nodes have it unless told otherwise


def rescue(
    store: Store, boot: ObjectId, node: str, max_lost: int, queue: str | None = None
) -> list[tuple[ObjectId, Status]]:
    """Takes back all jobs of a node that is lost, or those of one queue; each with its new status.

    A job that was lost `max_lost` times is set aside.
    """
    completions = [completion_of_lost(job, node, max_lost) for job in store.leases.jobs_of(boot, queue)]
    if completions:
        store.completions.write(completions)
    return [(one.fence.job_id, one.verdict.status) for one in completions]


def restore(store: Store, queue: str | None) -> int:
    """Take back the jobs of nodes that are gone; how many of them wait again. A job lost too often fails instead."""
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
    _tell_all(store, waiting)
    store.solo_locks.sweep()
    return len(waiting)


def _tell_all(store: Store, job_ids: list[ObjectId]) -> None:
    if job_ids:
        queues = {job["queue"] for job in store.jobs.find({"_id": {"$in": job_ids}})}
        store.wakeups.jobs_rearmed(job_ids, queues, forced=True)
