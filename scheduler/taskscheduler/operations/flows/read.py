"""Reads flows as people and programs see them: with how many of their jobs are in which status."""

from __future__ import annotations

from collections.abc import Mapping

from bson import ObjectId

from taskscheduler.errors import FlowNotFoundError
from taskscheduler.model.document import Document
from taskscheduler.model.flows.flow import RUNNING
from taskscheduler.model.lifecycle import Status
from taskscheduler.store import Store
from taskscheduler.store.flows.flow_store import Wanted


def flow_of(store: Store, flow_id: ObjectId) -> Document:
    """Returns a flow with its counts. FlowNotFoundError."""
    flow = store.flows.get(flow_id)
    if flow is None:
        raise FlowNotFoundError(flow_id)
    return _counted(store, flow)


def flows_of(store: Store, limit: int, wanted: Wanted, counted: bool = True) -> list[Document]:
    """Returns those of the wanted flows that are the newest, the newest first; without counts unless `counted`."""
    found = store.flows.page(limit, wanted)
    if not counted:
        return found
    counts = store.flows.jobs.counts_of([flow["_id"] for flow in found if flow.get("status") == RUNNING])
    return [{**flow, "counts": _named(counts[flow["_id"]])} if flow["_id"] in counts else flow for flow in found]


def _counted(store: Store, flow: Document) -> Document:
    """Counts the jobs of a flow that runs; one that has ended knows."""
    if flow.get("status") != RUNNING:
        return flow
    return {**flow, "counts": _named(store.flows.jobs.counts(flow["_id"]))}


def _named(counts: Mapping[Status, int]) -> dict[str, int]:
    return {status.label: count for status, count in counts.items() if count}
