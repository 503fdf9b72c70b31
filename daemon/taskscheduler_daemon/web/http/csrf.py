"""Protects forms against cross-site requests: a field of each form must match a cookie of the browser."""

from __future__ import annotations

import hashlib
import hmac
import secrets

COOKIE = "taskscheduler_csrf"

FIELD = "csrf"


class Csrf:
    """Signs a random cookie. Another program on this host can set cookies, but it cannot sign them."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)

    def cookie(self, given: str | None) -> str:
        """Returns the cookie that the browser has, or a new one."""
        return given if given and len(given) <= 100 else secrets.token_urlsafe(24)

    def field(self, cookie: str, path: str) -> str:
        """Returns the field of the form for `path`."""
        return hmac.new(self._key, f"{cookie} {path}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def matches(self, cookie: str | None, path: str, field: str) -> bool:
        """Returns whether a form comes from a page that was made for this cookie and path."""
        expected = self.field(cookie or "", path)
        return bool(cookie) and hmac.compare_digest(expected.encode(), field.encode("utf-8", "replace"))
