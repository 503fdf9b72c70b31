"""Sessions of people who have logged in: a signed cookie, which ends after some hours, at a logout or a restart."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import threading
from typing import NamedTuple

from taskscheduler.clock import Clock
from taskscheduler_daemon.web.http.access.users import User

COOKIE = "taskscheduler_session"

LASTS = 8 * 3600  #: seconds

_LONGEST = 1000


class _Claims(NamedTuple):
    """What a cookie says."""

    name: str
    until: float  #: on the monotonic clock of this process, as its key
    nonce: str
    fingerprint: str  #: of the password


class Sessions:
    """Signs sessions with a key that lives as long as this process. Safe to use from many threads."""

    def __init__(self, clock: Clock, key: bytes | None = None) -> None:
        self._clock = clock
        self._key = key or secrets.token_bytes(32)
        self._ended: dict[str, float] = {}  #: sessions that were logged out, until they would have ended
        self._lock = threading.Lock()

    def begin(self, user: User) -> str:
        """Returns the cookie of a new session."""
        claims = _Claims(user.name, self._clock.monotonic() + LASTS, secrets.token_hex(16), _fingerprint(user))
        text = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
        return f"{text}.{self._signature(text)}"

    def name_in(self, cookie: str) -> str | None:
        """Returns the name in a cookie of ours that has not ended; the user may have changed since."""
        claims = self._claims(cookie)
        return None if claims is None else claims.name

    def is_of(self, cookie: str, user: User) -> bool:
        """Returns whether the session began with the password that the user has now."""
        claims = self._claims(cookie)
        return claims is not None and hmac.compare_digest(claims.fingerprint, _fingerprint(user))

    def end(self, cookie: str) -> None:
        """Ends a session: its cookie is of no use any more, whoever has kept it."""
        claims = self._claims(cookie)
        if claims is not None:
            with self._lock:
                now = self._clock.monotonic()
                self._ended = {one: until for one, until in self._ended.items() if until > now}
                self._ended[claims.nonce] = claims.until

    def _claims(self, cookie: str) -> _Claims | None:
        text, _, signature = cookie.partition(".")
        if len(cookie) > _LONGEST or not hmac.compare_digest(
            signature.encode("utf-8", "replace"), self._signature(text).encode()
        ):
            return None
        try:
            claims = _Claims(*json.loads(base64.urlsafe_b64decode(text)))
        except (ValueError, binascii.Error):
            return None
        return claims if claims.until > self._clock.monotonic() and claims.nonce not in self._ended else None

    def _signature(self, text: str) -> str:
        return hmac.new(self._key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def _fingerprint(user: User) -> str:
    """Returns what a new password changes."""
    return hashlib.sha256(f"session {user.password}".encode()).hexdigest()[:32]
