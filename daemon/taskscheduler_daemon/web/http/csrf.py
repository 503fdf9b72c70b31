"""Decides whether a form was sent from one of our own pages: its field must fit the cookie of its browser."""

from __future__ import annotations

import hashlib
import hmac
import secrets

COOKIE = "taskscheduler_csrf"

FIELD = "csrf"


class Csrf:
    """Signs a random cookie. Who can set cookies (another port of this host can) still cannot sign them."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def cookie(self, given: str | None) -> str:
        """The cookie that the browser has, or a new one."""
        return given if given and len(given) <= 100 else secrets.token_urlsafe(24)

    def field(self, cookie: str, path: str) -> str:
        """What the form for `path` carries."""
        return hmac.new(self._key, f"{cookie} {path}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def fits(self, cookie: str | None, path: str, field: str) -> bool:
        """Whether a form came from a page that was made for this cookie and path."""
        expected = self.field(cookie or "", path)
        return bool(cookie) and hmac.compare_digest(expected.encode(), field.encode("utf-8", "replace"))
