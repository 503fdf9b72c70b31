"""Puts the jobs of a flow back in the queue that failed, and those that were cancelled because of them."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.errors import InvalidStateError, JobNotFoundError
from taskscheduler.model.changes import JobChanges
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.flows.tree import FlowNode, FlowTree, flow_tree
from taskscheduler.operations.retry import Retrying
from taskscheduler.store import Store
from taskscheduler.store.selections.bulk import requeue_kind

_AT_ONCE = 1000


def retry_flow(store: Store, clock: Clock, flow_id: ObjectId, reason: str | None) -> list[ObjectId]:
    """Puts back what failed, in the order in which it runs; returns the jobs. Safe to repeat. FlowNotFoundError.

    A job comes back after those that it waits for: before, it would be cancelled again.
    """
    first, behind = _divided(flow_tree(store, flow_id))
    if not first:
        return []
    store.flows.reopen([flow_id])
    retrying = Retrying(store, clock, JobChanges(), reason)
    queued = [node.id for node in first if _is_back(retrying, node.id)]
    for start in range(0, len(behind), _AT_ONCE):
        queued += _put_back(store, retrying, [node.id for node in behind[start : start + _AT_ONCE]])
    joins = [node.document["after"] for node in behind]
    for job_id, _ in store.flow_effects.settle(joins):  # the last one may have ended before these came back
        store.outbox.deliver(job_id)
    store.flow_effects.end_flow(flow_id)
    return queued


def _divided(tree: FlowTree) -> tuple[list[FlowNode], list[FlowNode]]:
    """Returns the jobs to put back that run at once, and those that wait for others of these, with new results."""
    back = {*tree.failed(), *tree.fallen()}
    chosen = [node for node in tree.nodes if node in back]
    behind = [node for node in chosen if not back.isdisjoint(node.before)]
    return [node for node in chosen if back.isdisjoint(node.before)], behind


def _is_back(retrying: Retrying, job_id: ObjectId) -> bool:
    try:
        retrying.retry(job_id)
    except (InvalidStateError, JobNotFoundError):
        return False  # somebody else was faster
    return True


def _put_back(store: Store, retrying: Retrying, ids: Sequence[ObjectId]) -> list[ObjectId]:
    """Has ended jobs wait again for those before them, as if they had never begun; returns them."""
    known, queued = store.jobs.all_of(ids), list[ObjectId]()
    for job_id in [job_id for job_id, job in known.items() if "pending" in job]:
        store.outbox.deliver(job_id)
    alike: dict[object, list[Document]] = {}
    for job in ({**known[job_id], "attempt": 0} for job_id in ids if job_id in known):
        alike.setdefault(requeue_kind(job, retrying.again(job)), []).append(job)
    for same in alike.values():
        queued += store.bulk.requeue_alike([(job, retrying.again(job)) for job in same]).ids
    postponed = int(Status.POSTPONED)
    store.events.append([{"job": job_id, "status": postponed, "attempt": 0} for job_id in queued])
    return queued
