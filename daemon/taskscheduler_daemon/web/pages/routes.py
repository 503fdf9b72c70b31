"""The pages: overview, list of jobs, one job, and its actions, each confirmed on a page of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from bson import ObjectId
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import FileResponse, RedirectResponse

from taskscheduler.model.lifecycle import LIVE, Status
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.kinds import KINDS
from taskscheduler_daemon.presentation.text import local
from taskscheduler_daemon.web.http.bodies import form_of
from taskscheduler_daemon.web.http.context import WebContext, site_of
from taskscheduler_daemon.web.http.csrf import COOKIE, FIELD
from taskscheduler_daemon.web.pages.actions import ACTIONS, Action, actions_of, done, noun
from taskscheduler_daemon.web.pages.templates import STYLE, page
from taskscheduler_daemon.web.pages.truncate import line
from taskscheduler_daemon.web.pages.view_models import (
    count_tiles,
    job_page,
    job_row,
    node_row,
    program_row,
    queue_row,
    service_row,
)

PAGE = 50  #: jobs on one page of the list

SHOWN = 20  #: services, and programs, on the overview

MOST_SEARCHED = 50_000  #: jobs that are looked at for one page, if no index finds those that are wanted

STATUSES: Mapping[str, frozenset[Status]] = {
    "live": LIVE,
    **{status.label: frozenset({status}) for status in Status},
}

_AT_WORK: Mapping[str, Any] = {**KINDS["program"], "status": {"$in": [int(Status.PROCESSING)]}}

router = APIRouter(include_in_schema=False)


@router.get("/")
def overview(request: Request) -> Response:
    """Counts, queues, nodes, services, and programs that no node runs."""
    look = site_of(request).overview
    nodes: list[Mapping[str, Any]] = list(look.nodes())
    queues = [queue_row(backlog, nodes) for backlog in look.backlogs()]
    rows = [node_row(node) for node in nodes]
    scheduler = site_of(request).scheduler
    now = scheduler.store.clock.now()
    services, programs = (
        [Process(scheduler, job) for job in site_of(request).job_lists.recent(query, SHOWN + 1)]
        for query in (KINDS["service"], _AT_WORK)
    )
    return page(
        "overview.html",
        place="overview",
        tiles=count_tiles(look.counts()),
        queues=queues,
        nodes=rows,
        services=[service_row(job, now) for job in services[:SHOWN]],
        more_services=len(services) > SHOWN,
        programs=[program_row(job, now) for job in programs[:SHOWN]],
        more_programs=len(programs) > SHOWN,
        database=look.name,
        time=local(now),
    )


@router.get("/style.css")
def style() -> Response:
    """The one style sheet."""
    return FileResponse(STYLE, media_type="text/css", headers={"Cache-Control": "private, max-age=300"})


@router.get("/jobs")
def list_jobs(
    request: Request,
    status: str = "",
    job: str = "",
    queue: str = "",
    tag: str = "",
    kind: str = "",
    before: str = "",
    said: str = "",
) -> Response:
    """The newest jobs that match, a page at a time."""
    site = site_of(request)
    query = _query(status, job, queue, tag, kind, before)
    is_search = not tag and _is_search(status, job or queue, kind)
    edge = site.job_lists.page_boundary(_id_of(before), MOST_SEARCHED) if is_search else None
    if edge:
        query["_id"] = {**query.get("_id", {}), "$gte": edge}
    found = site.job_lists.recent(query, PAGE + 1)
    # a page ends at an id, whatever the order within it, so that the next one begins where it ended
    found = sorted(found, key=lambda document: ObjectId(document["_id"]), reverse=True)
    rest, documents = found[PAGE:], found[:PAGE]
    now = site.scheduler.store.clock.now()
    given = {"status": status, "job": job, "queue": queue, "tag": tag, "kind": kind}
    filters = {name: value for name, value in given.items() if value}
    last = documents[-1]["_id"] if rest else edge
    older = {**filters, "before": str(last)} if last else None
    return page(
        "jobs.html",
        place="jobs",
        jobs=[job_row(Process(site.scheduler, document), now) for document in documents],
        statuses=list(STATUSES),
        status=status,
        job=line(job, 300),
        queue=line(queue, 300),
        tag=line(tag, 300),
        kind=kind,
        kinds=list(KINDS),
        filtered=bool(filters),
        searched=MOST_SEARCHED if edge and not rest else None,
        older=older and f"/jobs?{urlencode(older, errors='replace')}",
        newest=before and f"/jobs?{urlencode(filters, errors='replace')}",
        said=done(said),
    )


def _query(status: str, job: str, queue: str, tag: str, kind: str, before: str) -> dict[str, Any]:
    query: dict[str, Any] = {name: value for name, value in (("class", job), ("queue", queue), ("tags", tag)) if value}
    if status:
        if status not in STATUSES:
            raise HTTPException(400, f'There is no status "{line(status)}"')
        query["status"] = {"$in": sorted(map(int, STATUSES[status]))}
    if kind:
        if kind not in KINDS:
            raise HTTPException(400, f'There is no kind "{line(kind)}"')
        query |= KINDS[kind]
    if before:
        query["_id"] = {"$lt": _id_of(before)}
    return query


def _id_of(before: str) -> ObjectId | None:
    if before and not ObjectId.is_valid(before):
        raise HTTPException(400, f'"{line(before)}" is not the id of a job')
    return ObjectId(before) if before else None


def _is_search(status: str, names: str, kind: str) -> bool:
    """Whether no index has what is wanted, so that it would cost every job.

    That is so for done jobs of some class or queue, and for solo jobs and programs of which not only those that run are
    wanted. Services have an index of their own.
    """
    if kind in ("program", "solo"):
        return status != Status.PROCESSING.label
    return bool(names) and kind != "service" and Status.DONE in STATUSES.get(status, Status)


@router.get("/jobs/{identifier}")
def show_job(request: Request, identifier: str, said: str = "") -> Response:
    """Everything about one job."""
    site = site_of(request)
    job, now = site.job(identifier), site.scheduler.store.clock.now()
    return page("job.html", place="jobs", job=job_page(job, now), said=done(said, job))


def _action(name: str, job: Process) -> Action:
    """409 for a program that is to be tried again: what no node runs, no node can."""
    if name not in ACTIONS:
        raise HTTPException(404, "There is no such page")
    try:
        return actions_of(job)[name]
    except KeyError:
        raise HTTPException(409, "This is the record of a program, which only that program can run again") from None


@router.get("/jobs/{identifier}/{name}")
def confirm(request: Request, identifier: str, name: str) -> Response:
    """Ask before an action."""
    site = site_of(request)
    job = site.job(identifier)
    action = _action(name, job)
    cookie = site.csrf.cookie(request.cookies.get(COOKIE))
    answer = page(
        "confirm.html",
        place="jobs",
        job=job_row(job, site.scheduler.store.clock.now()),
        action=action,
        what=noun(job),
        allowed=job.status in action.allowed,
        field=FIELD,
        token=site.csrf.field(cookie, f"{job.id}/{name}"),
    )
    answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict")
    return answer


@router.post("/jobs/{identifier}/{name}")
def act(request: Request, identifier: str, name: str, form: Annotated[dict[str, str], Depends(form_of)]) -> Response:
    """Do what was confirmed, then show the job, or the list if it is gone."""
    site = site_of(request)
    job = site.job(identifier)
    action = _action(name, job)
    if not site.csrf.fits(request.cookies.get(COOKIE), f"{job.id}/{name}", form.get(FIELD, "")):
        raise HTTPException(403, "This form is no longer valid; go back, load the page again and repeat")
    _do(site, job, action)
    where = "/jobs" if name == "delete" else f"/jobs/{job.id}"
    return RedirectResponse(f"{where}?said={name}", 303)


def _do(site: WebContext, job: Process, action: Action) -> None:
    if job.status not in action.allowed:
        raise HTTPException(409, f"The job is {job.status.label}; it is too late to {action.label} it, or too early")
    if action.name == "cancel":
        site.scheduler.cancel_job(job.id)
    elif action.name == "retry":
        site.scheduler.retry_job(job.id)
    else:
        site.scheduler.delete_job(job.id)
