"""The routes of the pages: overview, list of jobs, one job, and its actions after a confirmation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from bson import ObjectId
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import FileResponse, RedirectResponse

from taskscheduler.model.filters.expression import all_of
from taskscheduler.model.filters.keys import KINDS
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.control.known import unknown_classes
from taskscheduler.operations.control.summary import kept_back
from taskscheduler.process import Process
from taskscheduler.store.job_lists import by_id
from taskscheduler_daemon.presentation.node import unknown_warning
from taskscheduler_daemon.presentation.reason import is_kept_waiting
from taskscheduler_daemon.presentation.running import as_of_now, boots_of
from taskscheduler_daemon.presentation.text import local
from taskscheduler_daemon.web.http.bodies import form_of
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.http.csrf import COOKIE, FIELD
from taskscheduler_daemon.web.pages.actions import ACTIONS, Action, actions_of, done_text, noun
from taskscheduler_daemon.web.pages.control.reasons import reason_row, reason_view
from taskscheduler_daemon.web.pages.control.rows import pause_row
from taskscheduler_daemon.web.pages.filters import STATUSES, JobFilter
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

MOST_SEARCHED = 50_000  #: jobs that one page reads at most, if no index finds the matching ones

_AT_WORK: Mapping[str, Any] = {**KINDS["program"], "status": {"$in": [int(Status.PROCESSING)]}}

router = APIRouter(include_in_schema=False)


@router.get("/")
def overview(request: Request) -> Response:
    """Shows counts, queues, nodes, services, and programs that no node runs."""
    context = context_of(request)
    cluster, scheduler = context.overview, context.scheduler
    found = cluster.nodes()
    nodes = as_of_now(found, context.job_lists.running_on(boots_of(found)))
    now = scheduler.store.clock.now()
    counts, queues, pauses = cluster.counts(), cluster.backlogs(), cluster.pauses()
    services, programs = (
        [Process(scheduler, job) for job in context.job_lists.recent(query, SHOWN + 1)]
        for query in (KINDS["service"], _AT_WORK)
    )
    return page(
        "overview.html",
        root=context.root,
        place="overview",
        tiles=count_tiles(counts),
        reasons=[reason_row(*one) for one in kept_back(cluster, counts, queues, found, pauses).items()],
        queues=[queue_row(backlog, nodes) for backlog in queues],
        nodes=[node_row(node) for node in nodes],
        unknown=[line(unknown_warning(one), 400) for one in unknown_classes(cluster, found)],
        services=[service_row(job, now) for job in services[:SHOWN]],
        more_services=len(services) > SHOWN,
        programs=[program_row(job, now) for job in programs[:SHOWN]],
        more_programs=len(programs) > SHOWN,
        pauses=[pause_row(pause) for pause in pauses],
        database=cluster.name,
        time=local(now),
    )


@router.get("/style.css")
def style() -> Response:
    """Returns the style sheet."""
    return FileResponse(STYLE, media_type="text/css", headers={"Cache-Control": "private, max-age=300"})


@router.get("/jobs")
def list_jobs(request: Request, wanted: Annotated[JobFilter, Depends()], done: str = "") -> Response:
    """Shows the newest jobs that match, a page at a time."""
    context = context_of(request)
    now = context.scheduler.store.clock.now()
    query = wanted.query(now)
    queries = context.served(query) if wanted.q else None if wanted.reads_all else [query]
    boundary = context.job_lists.page_boundary(wanted.before_id(), MOST_SEARCHED) if queries is None else None
    within = {"_id": {"$gte": boundary}} if boundary else {}
    found = context.job_lists.recent_of(queries or [all_of([query, within])], PAGE + 1)
    # in the order of ids, so that the next page begins where this one ends
    found = sorted(found, key=by_id, reverse=True)
    rest, documents = found[PAGE:], found[:PAGE]
    last = documents[-1]["_id"] if rest else boundary
    last = last if isinstance(last, ObjectId) else None
    return page(
        "jobs.html",
        root=context.root,
        place="jobs",
        jobs=[job_row(Process(context.scheduler, document), now) for document in documents],
        searched=MOST_SEARCHED if boundary and not rest else None,
        message=done_text(done),
        **_form(wanted),
        **_paging(context.root, wanted, last),
    )


def _form(wanted: JobFilter) -> dict[str, Any]:
    """Returns what the form of the filter shows."""
    return {
        "statuses": list(STATUSES),
        "kinds": list(KINDS),
        "status": wanted.status,
        "job": line(wanted.job, 300),
        "queue": line(wanted.queue, 300),
        "tag": line(wanted.tag, 300),
        "kind": wanted.kind,
        "schedule": line(wanted.schedule, 300),
        "q": line(wanted.q, 2000),
        "filtered": bool(wanted.given),
    }


def _paging(root: str, wanted: JobFilter, last: ObjectId | None) -> dict[str, Any]:
    """Returns the addresses of the next page, which begins below the id `last`, and of the first page."""
    older = {**wanted.given, "before": str(last)}
    return {
        "older": f"{root}/jobs?{urlencode(older, errors='replace')}" if last else None,
        "newest": f"{root}/jobs?{urlencode(wanted.given, errors='replace')}" if wanted.before else None,
    }


@router.get("/jobs/{identifier}")
def show_job(request: Request, identifier: str, done: str = "") -> Response:
    """Shows everything about one job."""
    context = context_of(request)
    job, now = context.job(identifier), context.scheduler.store.clock.now()
    return page(
        "job.html",
        root=context.root,
        place="jobs",
        job=job_page(job, now),
        why=reason_view(job.why()) if is_kept_waiting(job) else None,
        message=done_text(done, job),
    )


def _action(name: str, job: Process) -> Action:
    """Returns an action; answers 409 for the retry of a program, which no node can run."""
    if name not in ACTIONS:
        raise HTTPException(404, "There is no such page")
    try:
        return actions_of(job)[name]
    except KeyError:
        raise HTTPException(409, "This is the record of a program; only that program can run again") from None


@router.get("/jobs/{identifier}/{name}")
def confirm(request: Request, identifier: str, name: str) -> Response:
    """Asks before an action."""
    context = context_of(request)
    job = context.job(identifier)
    action = _action(name, job)
    cookie = context.csrf.cookie(request.cookies.get(COOKIE))
    answer = page(
        "confirm.html",
        root=context.root,
        place="jobs",
        job=job_row(job, context.scheduler.store.clock.now()),
        action=action,
        what=noun(job),
        allowed=action.allows(job),
        field=FIELD,
        token=context.csrf.field(cookie, f"{job.id_text}/{name}"),
    )
    answer.set_cookie(COOKIE, cookie, httponly=True, samesite="strict")
    return answer


@router.post("/jobs/{identifier}/{name}")
def act(request: Request, identifier: str, name: str, form: Annotated[dict[str, str], Depends(form_of)]) -> Response:
    """Takes a confirmed action, then shows the job, or the list if the job is deleted."""
    context = context_of(request)
    job = context.job(identifier)
    action = _action(name, job)
    if not context.csrf.matches(request.cookies.get(COOKIE), f"{job.id_text}/{name}", form.get(FIELD, "")):
        raise HTTPException(403, "This form is no longer valid; go back, reload the page and try again")
    _take(context, job, action)
    where = f"{context.root}/jobs" + ("" if name == "delete" else f"/{quote(job.id_text)}")
    return RedirectResponse(f"{where}?done={name}", 303)


def _take(context: WebContext, job: Process, action: Action) -> None:
    if not action.allows(job):
        raise HTTPException(409, f"You cannot {action.label} a job that is {job.status.label}")
    if action.name == "cancel":
        context.scheduler.cancel_job(job.id_text)
    elif action.name == "retry":
        context.scheduler.retry_job(job.id_text)
    else:
        context.scheduler.delete_job(job.id_text)
