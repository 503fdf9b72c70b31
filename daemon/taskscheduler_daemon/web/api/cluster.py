"""The web service of the cluster: counts, queues, nodes, failures, pauses and services. Every read is bounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.control.pauses import ALL, QUEUE, Pause
from taskscheduler.operations.stats import by_status, of_nodes
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler.store.job_lists import CAP
from taskscheduler_daemon.presentation.failure import record as failure_record
from taskscheduler_daemon.presentation.pause import record as pause_record
from taskscheduler_daemon.web.api.cluster_forms import (
    CappedCounts,
    ClusterStatus,
    Drained,
    FailureRecord,
    NewPause,
    NodeRecord,
    PauseRecord,
    QueueRecord,
)
from taskscheduler_daemon.web.api.job_forms import JobDetails, JobRecord, Reason
from taskscheduler_daemon.web.api.parameters import CHECKED, Body, Name, form_of, takes
from taskscheduler_daemon.web.api.records import answer, job_details, job_record
from taskscheduler_daemon.web.http.context import context_of
from taskscheduler_daemon.web.http.problems import ProblemError, problems

_V1 = "/api/v1"

_NO_SERVICE = "no such service"

router = APIRouter(tags=["cluster"], dependencies=CHECKED)

Text = str | SkipJsonSchema[None]


@router.get(_V1 + "/status", response_model=ClusterStatus, responses=problems(), summary="The cluster")
def show_status(request: Request) -> Response:
    """Returns the cluster in numbers: jobs by status, queues, nodes and their slots."""
    cluster = context_of(request).overview
    pauses, nodes = cluster.pauses(), of_nodes(cluster.nodes())
    return answer(
        {
            "jobs": by_status(cluster.counts()),
            "capped_at": CAP,
            "queues": _queues(cluster.backlogs(), pauses),
            "nodes": [_node(one) for one in nodes["nodes"]],
            "slots": nodes["slots"],
            "next_due_seconds": cluster.next_due(),
            "paused": len(pauses),
        }
    )


@router.get(
    _V1 + "/counts",
    response_model=CappedCounts,
    responses=problems(),
    summary="Count jobs by status",
)
def show_counts(request: Request) -> Response:
    """Counts the jobs in each status, up to 10 001."""
    return answer({"jobs": by_status(context_of(request).overview.counts()), "capped_at": CAP})


@router.get(
    _V1 + "/queues",
    response_model=list[QueueRecord],
    responses=problems(),
    summary="List queues",
)
def list_queues(request: Request) -> Response:
    """Returns the queues in which jobs wait, the first 50 by their names."""
    cluster = context_of(request).overview
    return answer(_queues(cluster.backlogs(), cluster.pauses()))


def _queues(backlogs: Iterable[Backlog], pauses: Iterable[Pause]) -> list[dict[str, Any]]:
    paused = {one.name if one.kind == QUEUE else ALL for one in pauses if one.kind in (ALL, QUEUE)}
    return [
        {
            "name": one.queue,
            "waiting": one.waiting,
            "is_complete": one.is_complete,
            "oldest_seconds": one.oldest,
            "paused": one.queue in paused or any(pause.kind == ALL for pause in pauses),
        }
        for one in backlogs
    ]


@router.get(_V1 + "/nodes", response_model=list[NodeRecord], responses=problems(), summary="List nodes")
def list_nodes(request: Request) -> Response:
    """Returns the nodes of the last day."""
    return answer([_node(one) for one in of_nodes(context_of(request).overview.nodes())["nodes"]])


@router.post(
    _V1 + "/nodes/{name}/drain",
    response_model=Drained,
    responses=problems(404, missing="no such node runs"),
    summary="Drain a node",
    openapi_extra=takes(Reason, required=False),
)
def drain_node(request: Request, name: Name, body: Body) -> Response:
    """Has the nodes of this name, or the one of this id, take no new jobs, finish those that they have, and end."""
    given = form_of(body, Reason)
    return answer({"draining": context_of(request).scheduler.nodes.drain(name, given.reason)})


def _node(node: Mapping[str, Any]) -> dict[str, Any]:
    return {name if name != "silent" else "silent_seconds": value for name, value in node.items()}


@router.get(
    _V1 + "/failures",
    response_model=list[FailureRecord],
    responses=problems(),
    summary="Failures by mistake",
)
def list_failures(
    request: Request,
    since: Annotated[Text, Query(description="a date with a time zone, or seconds before now")] = None,
    job: Annotated[Text, Query(description="the registered name of a class")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Returns the mistakes by which jobs have failed, those seen last, the most frequent first."""
    begin = None if since is None else _moment("since", since)
    found = context_of(request).scheduler.failures(begin, job, limit)
    return answer([{**failure_record(one), "example": str(one.example)} for one in found])


def _moment(name: str, given: str | float) -> datetime | float:
    """Returns a date, or a number of seconds."""
    if not isinstance(given, str):
        return given
    for read in (float, datetime.fromisoformat):
        try:
            value: datetime | float = read(given)
        except ValueError:
            continue
        return value
    raise InvalidOptionError(
        f"option {name} must be seconds, or a date with a time zone such as 2027-06-01T00:00:00Z, not {given!r:.60}"
    )


# -- pauses -----------------------------------------------------------------------------------------------------------


@router.get(
    _V1 + "/pauses",
    response_model=list[PauseRecord],
    responses=problems(),
    summary="List pauses",
)
def list_pauses(request: Request) -> Response:
    """Returns what is paused now."""
    return answer([pause_record(one) for one in context_of(request).scheduler.pauses()])


@router.post(
    _V1 + "/pauses",
    status_code=201,
    response_model=PauseRecord,
    responses=problems(),
    summary="Pause",
    openapi_extra=takes(NewPause, required=False),
)
def add_pause(request: Request, body: Body) -> Response:
    """Keeps nodes from starting jobs of a queue, a class or a tag, or any job if none is named."""
    given = form_of(body, NewPause)
    until = None if given.until is None else _moment("until", given.until)
    named = {"queue": given.queue, "job": given.job, "tag": given.tag}
    pause = context_of(request).scheduler.pause(**named, reason=given.reason, until=until)
    return answer(pause_record(pause), 201)


@router.delete(
    _V1 + "/pauses",
    status_code=204,
    response_class=Response,
    responses=problems(404, missing="it is not paused"),
    summary="Resume",
)
def end_pause(request: Request, queue: Text = None, job: Text = None, tag: Text = None) -> Response:
    """Lets nodes start again what is paused; name what the pause names."""
    if not context_of(request).scheduler.resume(queue, job, tag):
        raise ProblemError(404, "not-paused", "There is no such pause; list them at /api/v1/pauses")
    return Response(status_code=204)


# -- services ---------------------------------------------------------------------------------------------------------


@router.get(
    _V1 + "/services",
    response_model=list[JobRecord],
    responses=problems(),
    summary="List services",
)
def list_services(request: Request) -> Response:
    """Returns all services by their names, also those that have ended, as the jobs that they are."""
    return answer([job_record(one) for one in context_of(request).scheduler.services()])


@router.get(
    _V1 + "/services/{name}",
    response_model=JobDetails,
    responses=problems(404, missing=_NO_SERVICE),
    summary="One service",
)
def show_service(request: Request, name: Name) -> Response:
    """Returns the service of this name, as the job that it is."""
    return answer(job_details(context_of(request).scheduler.service(name)))


@router.post(
    _V1 + "/services/{name}/stop",
    response_model=JobRecord,
    responses=problems(404, 409, missing=_NO_SERVICE),
    summary="Stop a service",
)
def stop_service(request: Request, name: Name) -> Response:
    """Has a service stop, and not start again; its process may take some seconds to be gone."""
    return answer(job_record(context_of(request).scheduler.stop_service(name, wait=False)))


@router.post(
    _V1 + "/services/{name}/restart",
    response_model=JobRecord,
    responses=problems(404, 409, missing=_NO_SERVICE),
    summary="Restart a service",
)
def restart_service(request: Request, name: Name) -> Response:
    """Stops a service, waits until its process is gone, and starts it again."""
    return answer(job_record(context_of(request).scheduler.restart_service(name)))
