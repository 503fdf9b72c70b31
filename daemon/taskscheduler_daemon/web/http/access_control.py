"""Admits requests with the right Host and the token, and refuses those that pages of other sites send."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskscheduler_daemon.web.http.acting import SAFE, act_as, shared_actor
from taskscheduler_daemon.web.http.answers import refusal

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
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

_WITH_NAMES = "/api/"  #: its endpoints decode the names in a path

_CHALLENGE = 'Basic realm="taskscheduler", charset="UTF-8"'


def is_loopback(host: str) -> bool:
    """Returns whether only this machine can reach a server on `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class AccessMiddleware:
    """Admits or refuses every request, and adds security headers to every answer.

    Refusals are JSON, like the errors of the webservice. starlette's TrustedHostMiddleware would not do, as it knows no
    addresses: each of them would need an entry of its own.
    """

    def __init__(self, app: ASGIApp, token: str | None, names: Iterable[str], root: str = "") -> None:
        self._app = app
        self._token = token.encode() if token else None
        self._root = root
        self._names = {name.lower() for name in names} | {"localhost"}

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

        headers = Headers(scope=scope)
        refused = self._refusal(str(scope["method"]), headers)
        if refused is not None:
            await refused(scope, receive, send_with_headers)
            return
        user = _credentials(headers.get("authorization", ""))[0]
        actor = shared_actor(user, self._token is not None, scope)
        if scope["method"] == "HEAD":  # the server leaves the body out
            scope = {**scope, "method": "GET"}
        await act_as(actor, self._app, {**scope, "path": self._path(scope)}, receive, send_with_headers)

    def _path(self, scope: Scope) -> str:
        """Returns the path below the root: decoded, but that of the service with names, which may have slashes."""
        path = self._within(scope["path"])
        raw = scope.get("raw_path")
        return self._within(raw.decode("latin-1")) if raw and path.startswith(_WITH_NAMES) else path

    def _within(self, path: str) -> str:
        """Returns the path below the root, which a proxy may keep or strip."""
        below = path.removeprefix(self._root)
        return path if below and not below.startswith("/") else below or "/"

    def _refusal(self, method: str, headers: Headers) -> Response | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_known(hosts[0]):
            return refusal(400, "Unknown host; allow it with --allow-host")
        if not self._has_token(headers.get("authorization", "")):
            return refusal(401, "This request needs a token", {"WWW-Authenticate": _CHALLENGE})
        if method not in SAFE and _is_foreign(headers):
            return refusal(403, "Cross-site requests are not allowed")
        return None

    def _is_known(self, host: str) -> bool:
        """Returns whether requests may use this host.

        Another site could let a name of its own resolve to this server and so read its answers, but not an address.
        """
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        return found["name"].lower() in self._names if found["name"] else _is_address(found["address"])

    def _has_token(self, authorization: str) -> bool:
        if self._token is None:
            return True
        return hmac.compare_digest(_credentials(authorization)[1], self._token)


def _credentials(authorization: str) -> tuple[str, bytes]:
    """Returns the user, who may be anything, and the token of a header: a password of basic authentication is one."""
    kind, _, value = authorization.partition(" ")
    given = value.strip().encode("latin-1", "replace")  # the bytes that were sent
    if kind.lower() == "bearer":
        return "", given
    if kind.lower() != "basic":
        return "", b""
    try:
        user, _, password = base64.b64decode(given, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return "", b""
    return user.decode("utf-8", "replace"), password


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
