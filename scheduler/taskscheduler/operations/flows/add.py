"""Adds a flow: all of its jobs, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from taskscheduler.connection import Connection
from taskscheduler.declarations.flows import Flow
from taskscheduler.errors import DuplicateJobError, FlowNotFoundError
from taskscheduler.model.document import Document, NewJob
from taskscheduler.model.flows.flow import new_flow, with_counts
from taskscheduler.operations.add import JobAdder
from taskscheduler.operations.flows.plan import FlowPlan, roots_of
from taskscheduler.operations.flows.read import flow_of
from taskscheduler.operations.wake import wake_nodes
from taskscheduler.store import Store
from taskscheduler.store.flows.flow_store import TakenError


class AddedFlow(NamedTuple):
    """A stored flow with its counts, and the documents of its jobs if this call has stored them."""

    flow: Document
    jobs: list[Document]


class FlowAdder:
    """Stores the flows of one scheduler."""

    def __init__(self, connection: Connection, adder: JobAdder) -> None:
        self._connection = connection
        self._adder = adder

    def add(self, flow: Flow) -> AddedFlow:
        """Stores a flow in one transaction; the same once more returns what is stored. Raises as flows.add says."""
        plan = FlowPlan(flow, self._adder.defaults)
        store = self._connection.store
        now = store.clock.now()
        jobs = self._new_jobs(store, plan.documents(flow.id, now))
        document = new_flow(flow.id, flow.name, len(jobs), now)
        try:
            store.flows.add(document, [job.raw for job in jobs])
        except TakenError as error:
            return _stored(store, flow, error)
        documents = [job.document for job in jobs]
        wake_nodes(store, roots_of(documents))
        return AddedFlow(with_counts(document, documents), documents)

    def _new_jobs(self, store: Store, documents: Sequence[Document]) -> list[NewJob]:
        store.on_demand.before(documents)
        store.sequences.number(documents)
        return [self._adder.checked(store, document) for document in documents]


def _stored(store: Store, flow: Flow, error: TakenError) -> AddedFlow:
    """Returns a flow that was stored before: an answer of the database may have been lost. DuplicateJobError."""
    try:
        return AddedFlow(flow_of(store, flow.id), [])
    except FlowNotFoundError:
        raise DuplicateJobError(error.job_id) from error
