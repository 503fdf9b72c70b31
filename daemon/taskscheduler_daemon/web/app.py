"""Builds the application of webservice, pages and access middleware, and answers errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from taskscheduler.errors import (
    DatabaseUnavailableError,
    FlowNotFoundError,
    InvalidStateError,
    JobNotFoundError,
    NoAnswerError,
    NotPermittedError,
    ScheduleNotFoundError,
    SchedulerError,
)
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.web.api import audit as audit_service
from taskscheduler_daemon.web.api import cluster as cluster_service
from taskscheduler_daemon.web.api import flows as flow_service
from taskscheduler_daemon.web.api import groups as group_service
from taskscheduler_daemon.web.api import job_actions as action_service
from taskscheduler_daemon.web.api import jobs as job_service
from taskscheduler_daemon.web.api import limits as limit_service
from taskscheduler_daemon.web.api import logs as log_service
from taskscheduler_daemon.web.api import metrics as metric_service
from taskscheduler_daemon.web.api import prometheus
from taskscheduler_daemon.web.api import schedules as schedule_service
from taskscheduler_daemon.web.api import sequences as sequence_service
from taskscheduler_daemon.web.api import stacks as stack_service
from taskscheduler_daemon.web.api import stream as stream_service
from taskscheduler_daemon.web.api import waiting as wait_service
from taskscheduler_daemon.web.api import why as why_service
from taskscheduler_daemon.web.description import Described
from taskscheduler_daemon.web.http.access.policies import Access, SharedToken
from taskscheduler_daemon.web.http.access_control import AccessMiddleware, Doors, is_service
from taskscheduler_daemon.web.http.answers import refusal
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.http.csrf import Csrf
from taskscheduler_daemon.web.http.probes import Probes
from taskscheduler_daemon.web.http.problems import PREFIX, ProblemError, known_problem, problem
from taskscheduler_daemon.web.http.turns import TurnMiddleware
from taskscheduler_daemon.web.jobqueue import tasks
from taskscheduler_daemon.web.live.feed import Feed
from taskscheduler_daemon.web.pages import live, static
from taskscheduler_daemon.web.pages.access import login as login_page
from taskscheduler_daemon.web.pages.audit import routes as audit_page
from taskscheduler_daemon.web.pages.control import groups as group_forms
from taskscheduler_daemon.web.pages.control import page as control_page
from taskscheduler_daemon.web.pages.control import pauses as pause_forms
from taskscheduler_daemon.web.pages.failures import routes as failure_page
from taskscheduler_daemon.web.pages.flows import routes as flow_pages
from taskscheduler_daemon.web.pages.jobs import log as job_logs
from taskscheduler_daemon.web.pages.jobs import many, words
from taskscheduler_daemon.web.pages.jobs import routes as job_pages
from taskscheduler_daemon.web.pages.jobs import stack as stack_page
from taskscheduler_daemon.web.pages.metrics import routes as metric_page
from taskscheduler_daemon.web.pages.nodes import routes as node_page
from taskscheduler_daemon.web.pages.overview import routes as overview_page
from taskscheduler_daemon.web.pages.schedules import routes as schedule_pages
from taskscheduler_daemon.web.pages.templates import page

logger = logging.getLogger(__name__)

_ROUTERS = (
    tasks.router,
    job_service.router,
    wait_service.router,
    stream_service.router,
    action_service.router,
    cluster_service.router,
    schedule_service.router,
    flow_service.router,
    limit_service.router,
    group_service.router,
    sequence_service.router,
    why_service.router,
    metric_service.router,
    log_service.router,
    stack_service.router,
    prometheus.router,
    audit_service.router,
    login_page.router,
    static.router,
    live.router,
    overview_page.router,
    stack_page.router,
    words.router,
    many.router,
    job_logs.router,  # before the actions of a job
    job_pages.router,
    failure_page.router,
    node_page.router,
    audit_page.router,
    metric_page.router,
    schedule_pages.router,
    flow_pages.router,
    control_page.router,
    pause_forms.router,
    group_forms.router,
)

_TITLES = {400: "That is not possible", 403: "Not allowed", 404: "Not found", 409: "Not possible now"}
_MESSAGES = {"Not Found": "There is no such page.", "Method Not Allowed": "This page does not take such requests."}
_TECHNICAL = "Technical error"
_NO_DATABASE = "Technical error: the database does not answer"


def create_app(
    scheduler: Scheduler,
    jobs: Iterable[str] = (),
    token: str | None = None,
    hosts: Iterable[str] = (),
    root: str = "",
    *,
    access: Access | None = None,
) -> WebApplication:
    """Builds the application, to be served by itself or mounted in another one, under any path.

    `jobs`: the names of jobs that may be posted. `hosts`: the host names that requests may use, besides localhost and
    addresses. With a `token`, every request needs it; `access` is another way to know who sends a request. `root`: the
    path under which a proxy serves the application, if that is not where it is mounted.
    """
    access = access or SharedToken(token)
    feed = Feed(scheduler)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(feed.close)  # before the caller closes the scheduler

    names = frozenset(jobs)
    app = Described(_ROUTERS, names, lifespan)
    app.state.context = WebContext(scheduler, names, Csrf(), feed, access)
    app.add_route("/openapi.json", _description, include_in_schema=False)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(SchedulerError, _failed)
    app.add_exception_handler(Exception, _failed)
    # outermost, so that strangers get no turn, and its headers are on every answer, also on a 500
    doors = Doors(access, hosts, root)
    admitted = AccessMiddleware(TurnMiddleware(app), doors, scheduler.core.audit_trail)
    return WebApplication(admitted, feed, Probes(scheduler, root))


class WebApplication:
    """The application, as a server calls it."""

    def __init__(self, app: ASGIApp, feed: Feed, probes: Probes) -> None:
        self._app = app
        self._feed = feed
        self._probes = probes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._probes if self._probes.is_for(scope) else self._app)(scope, receive, send)

    def end_streams(self) -> None:
        """Ends the answers that have no end of their own, so that a server can stop. Blocks for up to a second."""
        self._feed.close()


def openapi(jobs: Iterable[str] = (), root: str = "") -> dict[str, Any]:
    """Returns the OpenAPI description, as `GET /openapi.json` answers it. Needs no database."""
    return Described(_ROUTERS, frozenset(jobs)).under(root)


def _description(request: Request) -> Response:
    """Answers the OpenAPI description, with the path under which the application is served."""
    return JSONResponse(request.app.under(context_of(request).root))


def _answer(request: Request, code: int, message: str, headers: dict[str, str] | None = None) -> Response:
    if request.scope["path"].startswith(PREFIX):
        return problem(code, message, headers=headers)
    if is_service(request.scope["path"]):
        return refusal(code, message, headers)
    message = _MESSAGES.get(message, message)
    answer = page(
        context_of(request),
        "error.html",
        code,
        place="",
        title=_TITLES.get(code, "Something went wrong"),
        message=message,
    )
    answer.headers.update(headers or {})
    return answer


def _problem(request: Request, error: Exception) -> Response:  # noqa: ARG001 - as the framework calls it
    assert isinstance(error, ProblemError)
    return error.answer()


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else dict(error.headers or {})
    return _answer(request, error.status_code, error.detail, headers)


def _malformed(request: Request, error: Exception) -> Response:
    """Answers a parameter that the framework refuses in the form of all other errors."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()[0]
    place = found["loc"]  # such as query, limit and the type that it may have
    message = f"Malformed {place[min(1, len(place) - 1)]}: {found['msg']}"
    if request.scope["path"].startswith(PREFIX):
        return problem(400, message, "invalid-parameter")
    return _answer(request, 400, message)


def _allowed(request: Request) -> str:
    """Returns the methods of all routes with this path; the framework names only those of the first."""
    routers = (*_ROUTERS, request.app.router)
    routes = [route for router in routers for route in router.routes if isinstance(route, Route)]
    fitting = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    allowed = {method for route in fitting for method in route.methods or ()}
    return ", ".join(sorted(allowed | ({"HEAD"} if "GET" in allowed else set())))


def _failed(request: Request, error: Exception) -> Response:
    if request.scope["path"].startswith(PREFIX) and isinstance(error, SchedulerError):
        answer = known_problem(error)
        if answer is not None:
            return answer
    if isinstance(error, JobNotFoundError):
        name = str(error.job_id)[:200]
        service = is_service(request.scope["path"])
        return _answer(request, 404, f"Task {name} does not exists" if service else f"There is no job {name}")
    if isinstance(error, FlowNotFoundError):
        return _answer(request, 404, f"There is no flow {str(error.flow_id)[:200]}")
    if isinstance(error, ScheduleNotFoundError):
        return _answer(request, 404, f"There is no schedule {str(error.name)[:200]}")
    if isinstance(error, NotPermittedError):
        return _answer(request, 403, str(error))
    if isinstance(error, InvalidStateError):
        return _answer(request, 409, str(error))
    if isinstance(error, NoAnswerError):
        return _answer(request, 504, str(error))
    known = isinstance(error, SchedulerError)  # its text says what is wrong; other errors need a traceback
    reason = {"reason": str(error)} if known else {}
    logger.error("request failed", exc_info=None if known else error, extra={"path": request.url.path, **reason})
    return _answer(request, 500, _NO_DATABASE if isinstance(error, DatabaseUnavailableError) else _TECHNICAL)
