"""Adds a flow in a transaction: all of its jobs, exactly if it commits."""

from __future__ import annotations

from collections.abc import Sequence

from taskscheduler.declarations.flows import Flow
from taskscheduler.errors import DuplicateJobError, JobNotFoundError
from taskscheduler.model.document import Document, NewJob
from taskscheduler.model.flows.flow import RUNNING, new_flow, with_counts
from taskscheduler.model.payload import encode
from taskscheduler.operations.add import JobAdder
from taskscheduler.operations.flows.plan import FlowPlan
from taskscheduler.operations.transactions.adding import wake
from taskscheduler.store import Store
from taskscheduler.store.transactions.flows import FlowSteps
from taskscheduler.store.transactions.jobs import JobSteps
from taskscheduler.store.transactions.preparing import prepare_sequences
from taskscheduler.store.transactions.steps import Steps


class TransactionFlows:
    """The flows of one scheduler, in transactions. Raises as flows.add says."""

    def __init__(self, store: Store, adder: JobAdder) -> None:
        self._store = store
        self._adder = adder
        self._flows = FlowSteps(store.flows)
        self._jobs = JobSteps(store.options, store.on_demand)

    def add(self, flow: Flow) -> Steps[Document]:
        """Adds a flow and returns its document with its counts; the one that is stored if it was added before."""
        plan, now = FlowPlan(flow, self._adder.defaults), self._store.clock.now()
        documents = plan.documents(flow.id, now)
        prepare_sequences(self._store.sequences, documents)
        self._store.sequences.number(documents)
        wake([document for document in documents if "after" not in document])
        most = self._store.options.max_payload
        jobs = [NewJob(document["_id"], document, encode(document, most)) for document in documents]
        return self._add(new_flow(flow.id, flow.name, len(jobs), now), jobs)

    def _add(self, flow: Document, jobs: Sequence[NewJob]) -> Steps[Document]:
        yield from self._flows.prepare()
        yield from self._jobs.prepare(job.document for job in jobs)
        known = yield from self._flows.get(flow["_id"])
        if known is not None:
            return (yield from self._counted(known))
        yield from self._check(jobs)
        yield from self._flows.insert(flow)
        yield from self._jobs.insert(jobs)
        return with_counts(flow, (job.document for job in jobs))

    def _check(self, jobs: Sequence[NewJob]) -> Steps[None]:
        """Refuses ids that are taken and parents that are unknown, before the first write: else all would be lost."""
        taken = yield from self._jobs.taken_ids([job.id for job in jobs])
        if taken:
            raise DuplicateJobError(taken[0])
        for parent in {job.document["parent"] for job in jobs if job.document.get("parent") is not None}:
            if (yield from self._jobs.get(parent)) is None:
                raise JobNotFoundError(parent)

    def _counted(self, flow: Document) -> Steps[Document]:
        """Counts the jobs of a flow that runs; one that has ended knows."""
        if flow.get("status") != RUNNING:
            return flow
        return with_counts(flow, (yield from self._flows.statuses(flow["_id"])))
