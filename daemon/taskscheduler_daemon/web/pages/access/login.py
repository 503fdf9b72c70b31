"""The pages by which people of a file of users log in and out."""

from __future__ import annotations

import math

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from taskscheduler.model.audit.actors import WEB, Acting, Actor
from taskscheduler.operations.audit.acting import acting
from taskscheduler_daemon.web.http.access.passwords import MOST
from taskscheduler_daemon.web.http.access.policies import UserAccess
from taskscheduler_daemon.web.http.access.sessions import COOKIE, LASTS
from taskscheduler_daemon.web.http.access.users import User
from taskscheduler_daemon.web.http.access_control import LOGIN, LOGOUT, SECURE
from taskscheduler_daemon.web.http.context import WebContext, context_of
from taskscheduler_daemon.web.pages.questions import Form, Question, ask, checked, signed_page

_WRONG = "There is no such user with this password."

router = APIRouter(include_in_schema=False)


def _access_of(context: WebContext) -> UserAccess:
    if not isinstance(context.access, UserAccess):
        raise HTTPException(404, "Nobody logs in here")
    return context.access


@router.get(LOGIN)
def show(request: Request, next: str = "") -> Response:
    """Asks for a name and a password."""
    _access_of(context_of(request))
    return _page(request, next)


def _page(request: Request, after: str, name: str = "", message: str = "", code: int = 200) -> Response:
    return signed_page(
        request, "login.html", {"login": "login"}, place="", after=after[:2000], given=name[:64], message=message,
        status_code=code,
    )  # fmt: skip


@router.post(LOGIN)
def log_in(request: Request, form: Form) -> Response:
    """Begins a session, and leads to the page that was asked for."""
    context = checked(request, form, "login")
    access, name, after = _access_of(context), form.get("name", ""), form.get("next", "")
    address = _who().actor.address or ""
    if left := access.throttle.wait(name, address):
        answer = _page(request, after, name, f"Too many tries. Wait {math.ceil(left)} seconds.", 429)
        answer.headers["Retry-After"] = str(math.ceil(left))
        return answer
    user = access.log_in(name, form.get("password", "")[: MOST + 1])
    trail = context.scheduler.core.audit_trail
    if user is None:
        said = name[:80].encode("utf-8", "replace").decode()
        trail.note_refusal(_who(), "login", {"target": said, "error": "wrong name or password"})
        return _page(request, after, name, _WRONG, 401)
    access.throttle.succeeded(name, address)
    trail.note(Acting(Actor(user.name, user.role, WEB, address or None)), "login")
    return _begun(request, context, access, user, after)


def _who() -> Acting:
    known = acting()
    assert known is not None  # every request acts for somebody
    return known


def _begun(request: Request, context: WebContext, access: UserAccess, user: User, after: str) -> Response:
    # only a path of ours: "//host" and "/\host" lead elsewhere
    path = after if after.startswith("/") and after[1:2] not in ("/", "\\") and after.isprintable() else "/"
    answer = RedirectResponse(f"{context.root}{path}", 303)
    answer.set_cookie(
        COOKIE, access.sessions.begin(user), max_age=LASTS, path=context.root or "/", httponly=True, samesite="lax",
        secure=bool(request.scope.get(SECURE)),
    )  # fmt: skip
    return answer


@router.get(LOGOUT)
def ask_to_log_out(request: Request) -> Response:
    """Asks before a session ends."""
    _access_of(context_of(request))
    name = _who().actor.name
    return ask(request, "", Question("Log out?", name, LOGOUT.removeprefix("/"), "Log out", ""))


@router.post(LOGOUT)
def log_out(request: Request, form: Form) -> Response:
    """Ends a session, also for whoever has kept its cookie."""
    context = checked(request, form, LOGOUT.removeprefix("/"))
    access = _access_of(context)
    access.sessions.end(request.cookies.get(COOKIE, ""))
    context.scheduler.core.audit_trail.note(_who(), "logout")
    answer = RedirectResponse(f"{context.root}{LOGIN}", 303)
    answer.delete_cookie(COOKIE, path=context.root or "/", httponly=True, samesite="lax")
    return answer
