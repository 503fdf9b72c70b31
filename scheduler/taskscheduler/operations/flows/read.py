"""Reads flows as people and programs see them: with how many of their jobs are in which status."""

from __future__ import annotations

from bson import ObjectId

from taskscheduler.errors import FlowNotFoundError
from taskscheduler.model.document import Document
from taskscheduler.model.flows.flow import RUNNING
from taskscheduler.store import Store


def flow_of(store: Store, flow_id: ObjectId) -> Document:
    """Returns a flow with its counts. FlowNotFoundError."""
    flow = store.flows.get(flow_id)
    if flow is None:
        raise FlowNotFoundError(flow_id)
    return _counted(store, flow)


def flows_of(store: Store, limit: int, status: str = "", before: ObjectId | None = None) -> list[Document]:
    """Returns flows with their counts, the newest first: of one status, or all; only those before this one."""
    return [_counted(store, flow) for flow in store.flows.page(limit, status, before)]


def _counted(store: Store, flow: Document) -> Document:
    """Counts the jobs of a flow that runs; one that has ended knows."""
    if flow.get("status") != RUNNING:
        return flow
    counts = store.flows.jobs.counts(flow["_id"])
    return {**flow, "counts": {status.label: count for status, count in counts.items() if count}}
