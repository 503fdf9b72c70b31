"""Makes the documents of the jobs of a flow: everything is checked here, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.declarations.flows import Flow, FlowJob, JobResult, check_class_options
from taskscheduler.errors import DuplicateJobError, InvalidFlowError, SchedulerError
from taskscheduler.model.checks import is_number
from taskscheduler.model.control.keys import FAR
from taskscheduler.model.document import Document
from taskscheduler.model.flows.graph import Edge, circle_in, graph_of, in_order
from taskscheduler.model.flows.inputs import Input, emptied, places_of
from taskscheduler.model.flows.membership import CANCEL, join_key
from taskscheduler.model.lifecycle import Transition, target
from taskscheduler.model.options import JobOptions
from taskscheduler.model.stored_values import PLAIN, bson_form
from taskscheduler.operations.job_request import JobRequest

_MOST_NAMED = 10  #: jobs of a circle in a message


class _Step(NamedTuple):
    """A checked job of a flow, and what it takes from others."""

    job: FlowJob
    request: JobRequest
    inputs: Sequence[Input]
    takes_from: Sequence[FlowJob]


class FlowPlan:
    """The jobs of a flow in an order in which they can run, and the joins between them."""

    def __init__(self, flow: Flow, defaults: JobOptions) -> None:
        """Raises InvalidFlowError if the jobs do not fit together, else what add_job raises, with the label."""
        self.flow = flow
        steps = {job.id: _checked(job, defaults) for job in flow.jobs}
        if not steps:
            raise InvalidFlowError(f"flow {flow.name!r} has no jobs")
        if len(steps) < len(flow.jobs):
            ids = [job.id for job in flow.jobs]
            raise DuplicateJobError(next(job_id for job_id in ids if ids.count(job_id) > 1))
        edges = _edges_of(list(steps.values()))
        self.graph = graph_of(edges)
        order = in_order(list(steps), self.graph)
        if len(order) < len(steps):
            raise InvalidFlowError(_circle_text(flow, [steps[one].job.label for one in circle_in(edges, order)]))
        self._steps = [steps[job_id] for job_id in order]
        self._feeding = {source.id for step in self._steps for source in step.takes_from}

    @property
    def joins_of_others(self) -> dict[ObjectId, list[ObjectId]]:
        """The joins of jobs that are not among these: they were there before."""
        ours = {step.job.id for step in self._steps}
        return {job_id: joins for job_id, joins in self.graph.member_of.items() if job_id not in ours}

    @property
    def soft(self) -> frozenset[ObjectId]:
        """The joins that do not mind how a job ends."""
        return frozenset(join.id for join in self.graph.joins.values() if join.is_soft)

    def documents(self, flow_id: ObjectId, now: datetime) -> list[Document]:
        """Returns the documents of the jobs, which are added at `now` by the clock of the server."""
        return [self._document(step, flow_id, now) for step in self._steps]

    def _document(self, step: _Step, flow_id: ObjectId, now: datetime) -> Document:
        with _of_job(step.job.label):
            document = step.request.document(now, wake=False)
        document["_id"] = job_id = step.job.id
        joins = self.graph.member_of.get(job_id) or [flow_id]
        document |= {"flow": flow_id, "label": step.job.label, "joins": joins, "open": joins}
        if soft := [join for join in joins if join in self.graph.joins and self.graph.joins[join].is_soft]:
            document["soft"] = soft
        if job_id in self._feeding:
            document["feeds"] = True
        if job_id in self.graph.after:
            _hold_back(document, self.graph.after[job_id], step)
        return document


def _hold_back(document: Document, join: ObjectId, step: _Step) -> None:
    """Turns the document of a job into one that waits for a join."""
    document["after"] = join
    if step.job.on_failure != CANCEL:
        document["on_failure"] = step.job.on_failure
    if step.inputs:
        document["inputs"] = [one.stored() for one in step.inputs]
    document["status"] = int(target(Transition.POSTPONE))
    document.setdefault("parked_at", document["at"])
    document["at"], document["blocked"] = FAR, join_key(join)
    if is_number(step.request.options.start_by):
        document.pop("expires", None)  # it counts from when the others have ended


def _checked(job: FlowJob, defaults: JobOptions) -> _Step:
    with _of_job(job.label):
        form, places = _with_places(job.data)
        request = JobRequest.of(job.job, form, job.options, defaults, pending=bool(places))
        check_class_options(job.label, request.options)
        if not places:
            return _Step(job, request, (), ())
        sources = [_source(job, one) for _, one in places]
        inputs = [Input(path, source.id) for (path, _), source in zip(places, sources, strict=True)]
        return _Step(job, request._replace(data=emptied(request.data)), inputs, sources)


def _with_places(data: Any) -> tuple[Any, list[tuple[tuple[str | int, ...], Any]]]:
    """Returns data, in their stored form if results stand in them, and where those stand."""
    if type(data) in PLAIN:
        return data, []
    try:
        form = bson_form(data, "data")
    except Exception:  # whoever checks the data says what is wrong
        return data, []
    places = list(places_of(form))
    return (form if places else data), places


def _source(job: FlowJob, result: Any) -> FlowJob:
    """Returns the job whose result is meant."""
    if not isinstance(result, JobResult):
        raise InvalidFlowError("previous stands in its data; it has a meaning in chain() and group() only")
    found: FlowJob = job.flow.find(result.job, "it takes the result of")
    return found


def _edges_of(steps: Sequence[_Step]) -> dict[ObjectId, Edge]:
    edges, known = dict[ObjectId, Edge](), dict[frozenset[Any], frozenset[ObjectId]]()
    for step in steps:
        after = frozenset((*step.job.predecessors, *step.takes_from))
        if after not in known:  # one set for all jobs that come after the same: its hash is computed once
            known[after] = frozenset(one.id if isinstance(one, FlowJob) else one for one in after)
        if step.job.on_failure != CANCEL and not after:
            raise InvalidFlowError(
                f"job {step.job.label!r} comes after no other, so on_failure={step.job.on_failure!r} means nothing"
            )
        edges[step.job.id] = Edge(known[after], step.job.on_failure != CANCEL)
    return edges


def _circle_text(flow: Flow, labels: Sequence[str]) -> str:
    shown = " -> ".join(labels[:_MOST_NAMED]) + (" -> ..." if len(labels) > _MOST_NAMED else "")
    return f"jobs of flow {flow.name!r} come after each other in a circle: {shown}"


@contextmanager
def _of_job(label: str) -> Iterator[None]:
    """Has the error of a job say which one it is."""
    try:
        yield
    except SchedulerError as error:
        text = str(error)
        if repr(label) not in text:
            error.args = (f"job {label!r} of the flow: {text}",)
        raise


def roots_of(documents: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns the jobs that come after no other."""
    return [document for document in documents if "after" not in document]
