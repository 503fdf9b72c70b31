"""Admits requests with the right Host from known users, and refuses those that pages of other sites send."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskscheduler.model.audit.actions import Role
from taskscheduler.model.audit.actors import WEB, Acting, Actor
from taskscheduler.operations.audit.trail import AuditTrail
from taskscheduler_daemon.web.http.access.policies import Access, Stranger
from taskscheduler_daemon.web.http.access.visits import Visit
from taskscheduler_daemon.web.http.acting import SAFE, act_as
from taskscheduler_daemon.web.http.answers import refusal
from taskscheduler_daemon.web.http.mounting import Mount

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser would send our own forms with the Origin null
}

#: no user, path or blank: such a Host means one thing to us and may mean another one to a browser or proxy
_HOST = re.compile(
    r"(?:(?P<address>[0-9]+(?:\.[0-9]+){3}|\[[0-9a-f:.]+\])|(?P<name>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*))(?::[0-9]{0,5})?",
    re.ASCII | re.IGNORECASE,
)

LOGIN, LOGOUT = "/login", "/logout"

_OPEN = (LOGIN, "/static/", "/robots.txt")  #: paths for which nobody has to be known

_SERVICE = ("/task", "/api/", "/openapi.json", "/metrics")  #: paths of the web service; all others are pages


def is_service(path: str) -> bool:
    """Returns whether programs ask for this path, and no people."""
    return path.startswith(_SERVICE)


def is_loopback(host: str) -> bool:
    """Returns whether only this machine can reach a server on `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Doors(NamedTuple):
    """Who gets in, by which names of this host, and under which path."""

    access: Access
    names: Iterable[str] = ()
    root: str = ""


class AccessMiddleware:
    """Admits or refuses every request, says on whose behalf it acts, and adds security headers to every answer.

    Refusals are JSON, like the errors of the webservice. starlette's TrustedHostMiddleware would not do, as it knows no
    addresses: each of them would need an entry of its own.
    """

    def __init__(self, app: ASGIApp, doors: Doors, trail: AuditTrail) -> None:
        self._app = app
        self._access = doors.access
        self._mount = Mount(doors.root)
        self._trail = trail
        self._names = {name.lower() for name in doors.names} | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        visit, place = Visit.of(scope, self._access.proxies), self._mount.place(scope)
        method = str(scope["method"])
        if method == "HEAD":  # the server leaves the body out
            scope = {**scope, "method": "GET"}
        found = self._found(method, visit, place.path, place.root)
        if isinstance(found, Actor) and found.role is Role.VIEWER and method not in SAFE and place.path not in _SESSION:
            found = await self._refused(found, f"{method} {place.path}")
        if isinstance(found, Response):
            await found(scope, receive, send_with_headers)
            return
        await act_as(found, self._app, {**place.inside(scope), SECURE: visit.is_secure}, receive, send_with_headers)

    async def _refused(self, actor: Actor, request: str) -> Response:
        """Refuses a request that changes something to who may change nothing, whatever it may be."""
        message = f"{actor.name} is {actor.role.label} and may not change anything"
        about = {"target": request[:500], "error": message}
        await run_in_threadpool(self._trail.note_refusal, Acting(actor), "request", about)
        return refusal(403, message)

    def _found(self, method: str, visit: Visit, path: str, root: str) -> Actor | Response:
        hosts = visit.headers.getlist("host")
        if len(hosts) != 1 or not self._is_known(hosts[0]):
            return refusal(400, "Unknown host; allow it with --allow-host")
        found = self._access.admit(visit)
        if isinstance(found, Stranger):
            if not found.may_log_in or not path.startswith(_OPEN):
                return _stranger(found, method, path, root)
            found = Actor(NOT_KNOWN, Role.VIEWER, WEB, visit.address or None)
        if method not in SAFE and _is_foreign(visit.headers):
            return refusal(403, "Cross-site requests are not allowed")
        return found

    def _is_known(self, host: str) -> bool:
        """Returns whether requests may use this host.

        Another site could let a name of its own resolve to this server and so read its answers, but not an address.
        """
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        return found["name"].lower() in self._names if found["name"] else _is_address(found["address"])


NOT_KNOWN = "not logged in"

SECURE = "taskscheduler.secure"  #: the key in a scope that says whether the client speaks TLS

_SESSION = (LOGIN, LOGOUT)


def _stranger(found: Stranger, method: str, path: str, root: str) -> Response:
    if found.may_log_in and method in SAFE and not is_service(path):
        after = "" if path == "/" else f"?next={quote(path)}"
        return RedirectResponse(f"{root}{LOGIN}{after}", 303)
    return refusal(found.code, found.message, found.headers)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_foreign(headers: Headers) -> bool:
    """Returns whether the browser says that a page of another site sent this."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()
