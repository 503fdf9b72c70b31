"""Decides which requests come in at all: the right Host, the token, and nothing sent by another site's page."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import json
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser would send our own forms with the Origin null
}

_SAFE = ("GET", "HEAD", "OPTIONS")

_CHALLENGE = 'Basic realm="taskscheduler", charset="UTF-8"'


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class AccessMiddleware:
    """Stands before the application. Refusals are JSON, as the webservice's errors are."""

    def __init__(self, app: ASGIApp, token: str | None, names: Iterable[str]) -> None:
        self._app = app
        self._token = token.encode() if token else None
        self._names = {name.lower() for name in names} | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal(str(scope["method"]), Headers(scope=scope)) or self._app
        if scope["method"] == "HEAD":  # whoever sends the answer leaves the body out
            scope = {**scope, "method": "GET"}
        await answer(scope, receive, dressed)

    def _refusal(self, method: str, headers: Headers) -> Response | None:
        if not self._knows(headers.get("host", "")):
            return refusal(400, "Unknown host; name it with --allow-host")
        if not self._may_enter(headers.get("authorization", "")):
            return refusal(401, "A token is needed", {"WWW-Authenticate": _CHALLENGE})
        if method not in _SAFE and _is_foreign(headers):
            return refusal(403, "Sent from another site")
        return None

    def _knows(self, host: str) -> bool:
        """A page of another name that resolves to us must not talk to us; an address cannot be made to."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._names or _is_address(name)

    def _may_enter(self, authorization: str) -> bool:
        if self._token is None:
            return True
        kind, _, value = authorization.partition(" ")
        given = value.strip().encode("latin-1", "replace")  # the bytes that were sent
        if kind.lower() == "basic":
            given = _password(given)
        elif kind.lower() != "bearer":
            given = b""
        return hmac.compare_digest(given, self._token)


def _password(credentials: bytes) -> bytes:
    """The password of basic authentication; the user may be anything."""
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_foreign(headers: Headers) -> bool:
    """Whether a browser says that the page of another site sent this."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower()


def refusal(code: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """An error as the webservice answers it."""
    # in ASCII, as a message may repeat what has no UTF-8 form
    text = json.dumps({"message": message, "code": code})
    return Response(text, code, headers, media_type="application/json")
