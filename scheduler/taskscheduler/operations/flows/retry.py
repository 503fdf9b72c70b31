"""Puts the jobs of a flow back in the queue that failed, and those that were cancelled because of them."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.errors import InvalidStateError, JobNotFoundError
from taskscheduler.model.changes import JobChanges
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.flows.tree import flow_tree
from taskscheduler.operations.retry import Retrying
from taskscheduler.store import Store
from taskscheduler.store.selections.bulk import requeue_kind

_AT_ONCE = 1000


def retry_flow(store: Store, clock: Clock, flow_id: ObjectId, reason: str | None) -> list[ObjectId]:
    """Puts back what failed, in the order in which it runs; returns the jobs. Safe to repeat. FlowNotFoundError.

    A job comes back after those that it waits for: before, it would be cancelled again.
    """
    tree = flow_tree(store, flow_id)
    failed, fallen = [node.id for node in tree.failed()], [node.document for node in tree.fallen()]
    if not failed:
        return []
    store.flows.reopen([flow_id])
    retrying = Retrying(store, clock, JobChanges(), reason)
    queued = [job_id for job_id in failed if _is_back(retrying, job_id)]
    for start in range(0, len(fallen), _AT_ONCE):
        queued += _put_back(store, retrying, fallen[start : start + _AT_ONCE])
    joins = [job["after"] for job in fallen]
    for job_id, _ in store.flow_effects.settle(joins):  # the last one may have ended before these came back
        store.outbox.deliver(job_id)
    store.flow_effects.end_flow(flow_id)
    return queued


def _is_back(retrying: Retrying, job_id: ObjectId) -> bool:
    try:
        retrying.retry(job_id)
    except (InvalidStateError, JobNotFoundError):
        return False  # somebody else was faster
    return True


def _put_back(store: Store, retrying: Retrying, jobs: Sequence[Document]) -> list[ObjectId]:
    """Has cancelled jobs wait again for those before them; returns them."""
    store.outbox.deliver_cancelled([job["_id"] for job in jobs if job.get("pending")])
    stored, queued = store.jobs.all_of([job["_id"] for job in jobs]), list[ObjectId]()
    alike: dict[object, list[Document]] = {}
    for job in (stored[one["_id"]] for one in jobs if one["_id"] in stored):
        alike.setdefault(requeue_kind(job, retrying.again(job)), []).append(job)
    for same in alike.values():
        queued += store.bulk.requeue_alike([(job, retrying.again(job)) for job in same]).ids
    postponed = int(Status.POSTPONED)
    store.events.append([{"job": job_id, "status": postponed, "attempt": 0} for job_id in queued])
    return queued
