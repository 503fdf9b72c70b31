"""Adds jobs to a flow that runs, from within one of its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.connection import Connection
from taskscheduler.declarations.flows import Flow
from taskscheduler.errors import DuplicateJobError, InvalidFlowError, InvalidStateError
from taskscheduler.model.checks import near_miss
from taskscheduler.model.document import Document
from taskscheduler.model.job_ids import id_text
from taskscheduler.model.process_state import ProcessState
from taskscheduler.model.sound import is_text
from taskscheduler.operations.add import JobAdder
from taskscheduler.operations.flows.plan import FlowPlan, roots_of
from taskscheduler.operations.wake import wake_nodes
from taskscheduler.store.flows.additions import Adding, EndedError, FlowAdditions
from taskscheduler.store.flows.flow_store import TakenError


class Running(NamedTuple):
    """A job of a flow that runs, by its attempt."""

    job: ObjectId
    attempt: int
    flow: ObjectId


class Additions(Flow):
    """Jobs to be added to a flow that runs. They may also come after its jobs: by label, process or id."""

    def __init__(self, known: Sequence[Mapping[str, Any]], name: str) -> None:
        """`known` are the jobs of the flow, with their labels."""
        super().__init__(name)
        self._ids = {job["_id"] for job in known}
        self._known = {job["label"]: job["_id"] for job in known if is_text(job.get("label"))}
        self._adders = {job["_id"]: job.get("adder") for job in known}

    def added_by(self, adder: ObjectId, label: str | None) -> ObjectId | None:
        """Returns the job of this label if this job has added it before, in an earlier attempt perhaps."""
        job_id = None if label is None else self._known.get(label)
        return job_id if job_id is not None and self._adders[job_id] == adder else None

    def find(self, job: Any, what: str) -> Any:
        """Returns a job that is to be added, or the id of one that runs already. InvalidFlowError."""
        job_id = job.id if isinstance(job, ProcessState) else job
        if isinstance(job_id, ObjectId):
            if job_id not in self._ids:
                raise InvalidFlowError(f"{what} {id_text(job_id)}, which is no job of flow {self.name!r}")
            return job_id
        if is_text(job) and job in self._known:
            return self._known[job]
        return super().find(job, what)

    def _near(self, label: str) -> str:
        return near_miss(label, [*self._known, *(job.label for job in self.jobs)])

    def has_label(self, label: str) -> bool:
        """Whether a job of the flow has this label, or one that is to be added."""
        return label in self._known or super().has_label(label)


class FlowExtender:
    """Adds jobs to flows that run."""

    def __init__(self, connection: Connection, adder: JobAdder) -> None:
        self._connection = connection
        self._adder = adder

    def begin(self, running: Running) -> Additions:
        """Returns where to describe the jobs to add. InvalidStateError if the flow is gone."""
        store = self._connection.store
        flow = store.flows.get(running.flow)
        if flow is None:
            raise InvalidStateError(f"flow {running.flow} was deleted")
        return Additions(store.flows.jobs.of(running.flow, {"label": 1, "adder": 1}), str(flow.get("name") or "flow"))

    def extend(self, running: Running, additions: Additions) -> list[Document]:
        """Stores the jobs in one transaction, behind the fence of the running job, and returns them.

        InvalidStateError if that does not run any more, or the flow is being cancelled; InvalidFlowError if somebody
        else has added a job of the same label just now.
        """
        plan, store = FlowPlan(additions, self._adder.defaults), self._connection.store
        documents = plan.documents(running.flow, store.clock.now())
        for document in documents:
            document["adder"] = running.job
        store.on_demand.before(documents)
        store.sequences.number(documents)
        jobs = [self._adder.checked(store, document) for document in documents]
        adding = Adding(running.flow, running.job, running.attempt, plan.joins_of_others, plan.soft)
        try:
            FlowAdditions(store.flows, store.jobs.collection, store.clock).add(adding, [job.raw for job in jobs])
        except EndedError as error:
            raise InvalidStateError(str(error)) from error
        except TakenError as error:
            if is_text(error.job_id):
                raise InvalidFlowError(f"the flow has a job with the label {error.job_id!r} already") from error
            raise DuplicateJobError(error.job_id) from error
        wake_nodes(store, roots_of(documents))
        joins = {join for listed in plan.joins_of_others.values() for join in listed}
        for job_id, _ in store.flow_effects.settle(joins):  # those before may have ended
            store.outbox.deliver(job_id)
        return documents
