"""The routes of jobs: the list, one job, and its actions after a question."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote, urlencode

from bson import ObjectId
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from taskscheduler.model.filters.expression import all_of
from taskscheduler.process import Process
from taskscheduler.store.job_lists import by_id
from taskscheduler.store.web import job_pages
from taskscheduler_daemon.presentation.reason import is_kept_waiting
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.pages.actions import ACTIONS, Action, actions_of, done_text, noun
from taskscheduler_daemon.web.pages.control.reasons import reason_view
from taskscheduler_daemon.web.pages.filters import JobFilter
from taskscheduler_daemon.web.pages.jobs.bar import chips, tabs
from taskscheduler_daemon.web.pages.jobs.log import log_view
from taskscheduler_daemon.web.pages.jobs.views import job_page
from taskscheduler_daemon.web.pages.questions import Form, Question, ask, checked
from taskscheduler_daemon.web.pages.templates import page
from taskscheduler_daemon.web.pages.truncate import line
from taskscheduler_daemon.web.pages.view_models import job_row, state_view

PAGE = 50  #: jobs on one page of the list

MOST_SEARCHED = 5000  #: jobs that one page reads at most, if no index finds the matching ones

CHILDREN = 20

router = APIRouter(include_in_schema=False)


class Found(NamedTuple):
    """The jobs of a page."""

    jobs: list[dict[str, Any]]
    last: ObjectId | None  #: where the next page begins; None: there is none
    searched: int | None  #: how many jobs were searched if that were not all, and the page is not full


@router.get("/jobs")
def list_jobs(request: Request, wanted: Annotated[JobFilter, Depends()], done: str = "") -> Response:
    """Shows the newest jobs that match, a page at a time."""
    context = context_of(request)
    now = context.scheduler.store.clock.now()
    found = _searched(context, wanted, now) if wanted.passes_over_many else _chosen(context, wanted, now)
    return page(
        context,
        "jobs.html",
        place="jobs",
        jobs=[job_row(Process(context.scheduler, document), now) for document in found.jobs],
        searched=found.searched,
        message=done_text(done),
        tabs=tabs(wanted, context.overview.counts()),
        chips=chips(wanted),
        given={name: line(value, 2000) for name, value in wanted.given.items() if name != "q"},
        q=line(wanted.q, 2000),
        filtered=bool(wanted.given),
        everything=urlencode(wanted.given, errors="replace"),
        **_paging(context.root, wanted, found.last),
    )


def _searched(context: WebContext, wanted: JobFilter, now: datetime) -> Found:
    """Finds jobs by the best index, or among as many jobs as a page may read."""
    found = context.job_pages.page(replace(wanted, before="").query(now), wanted.before_id(), PAGE)
    is_short = found.next is not None and len(found.jobs) < PAGE
    return Found(found.jobs, found.next, job_pages.MOST_SEARCHED if is_short else None)


def _chosen(context: WebContext, wanted: JobFilter, now: datetime) -> Found:
    """Finds the jobs with the chosen values."""
    query = wanted.query(now)
    is_part = wanted.reads_all or (bool(wanted.q) and wanted.kind != "service")
    boundary = context.job_lists.page_boundary(wanted.before_id(), MOST_SEARCHED) if is_part else None
    within = {"_id": {"$gte": boundary}} if boundary else {}
    found = context.job_lists.recent(all_of([query, within]), PAGE + 1)
    # in the order of ids, so that the next page begins where this one ends
    found = sorted(found, key=by_id, reverse=True)
    rest, documents = found[PAGE:], found[:PAGE]
    last = documents[-1]["_id"] if rest else boundary
    searched = MOST_SEARCHED if boundary and not rest else None
    return Found(documents, last if isinstance(last, ObjectId) else None, searched)


def _paging(root: str, wanted: JobFilter, last: ObjectId | None) -> dict[str, Any]:
    """Returns the addresses of the next page, which begins below the id `last`, and of the first page."""
    older = {**wanted.given, "before": str(last)}
    return {
        "older": f"{root}/jobs?{urlencode(older, errors='replace')}" if last else None,
        "newest": f"{root}/jobs?{urlencode(wanted.given, errors='replace')}" if wanted.before else None,
    }


@router.get("/jobs/{identifier}")
def show_job(request: Request, identifier: str, done: str = "", attempt: str = "", level: str = "") -> Response:
    """Shows everything about one job."""
    context = context_of(request)
    job, now = context.job(identifier), context.scheduler.store.clock.now()
    children = context.job_lists.recent({"parent": job.id}, CHILDREN + 1)
    return page(
        context,
        "job.html",
        place="jobs",
        job=job_page(job, now),
        children=[job_row(Process(context.scheduler, child), now) for child in children[:CHILDREN]],
        more_children=len(children) > CHILDREN,
        why=reason_view(job.why()) if is_kept_waiting(job) else None,
        message=done_text(done, job),
        log=log_view(context, job, attempt, level),
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
    action, what, state = _action(name, job), noun(job), state_view(job)
    row = job_row(job, context.scheduler.store.clock.now())
    path = f"jobs/{quote(job.id_text, safe='')}"
    said = state.get("text") or state["name"]
    return ask(
        request,
        "jobs",
        Question(
            title=f"{action.label.capitalize()} this {what}?",
            subject=row["job"],
            id=job.id_text,
            status=state,
            details=(row["note"],) if row["note"] else (),
            warning=action.warning,
            hindrance="" if action.allows(job) else f"The {what} is {said}, so there is nothing to {action.label}.",
            action=f"{path}/{action.name}",
            button=f"{action.label.capitalize()} the {what}",
            back=path,
            is_danger=action.name in ("cancel", "delete"),
            signed=f"{job.id_text}/{name}",
        ),
    )


@router.post("/jobs/{identifier}/{name}")
def act(request: Request, identifier: str, name: str, form: Form) -> Response:
    """Takes a confirmed action, then shows the job, or the list if the job is deleted."""
    context = context_of(request)
    job = context.job(identifier)
    action = _action(name, job)
    checked(request, form, f"{job.id_text}/{name}")
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
