"""Hashes passwords and tokens. A password is hashed slowly by scrypt; a token is too long to be guessed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
from functools import cache

LEAST, MOST = 8, 1000  #: characters of a password

_COST, _BLOCK, _PARALLEL = 2**14, 8, 5  #: 16 MiB; OWASP's minimum for scrypt with so little memory

_MOST_MEMORY = 64 * 1024 * 1024
_SALT_BYTES, _KEY_BYTES, _TOKEN_BYTES = 16, 32, 32

_AT_ONCE = threading.Semaphore(2)  #: so that many logins at once take neither all processors nor much memory


def hashed(password: str) -> str:
    """Returns the hash of a password with a new salt, in the form in which it is stored."""
    salt = secrets.token_bytes(_SALT_BYTES)
    key = _scrypt(password, salt, _COST, _BLOCK, _PARALLEL)
    return "$".join(["scrypt", str(_COST), str(_BLOCK), str(_PARALLEL), _text(salt), _text(key)])


@cache
def nobody() -> str:
    """Returns a hash that is compared if there is no such user, so that the time of the answer does not tell."""
    return hashed(secrets.token_hex())


def verifies(password: str, stored: str) -> bool:
    """Returns whether this is the password of a stored hash; False for a hash that is none."""
    try:
        kind, cost, block, parallel, salt, key = stored.split("$")
        expected = base64.b64decode(key, validate=True)
        given = _scrypt(password, base64.b64decode(salt, validate=True), int(cost), int(block), int(parallel))
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(given, expected) and kind == "scrypt"


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    with _AT_ONCE:
        return hashlib.scrypt(
            password.encode("utf-8", "replace"), salt=salt, n=cost, r=block, p=parallel,
            maxmem=_MOST_MEMORY, dklen=_KEY_BYTES,
        )  # fmt: skip


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def new_token() -> str:
    """Returns a new token for programs."""
    return f"tsk_{secrets.token_urlsafe(_TOKEN_BYTES)}"


def token_hash(token: bytes) -> str:
    """Returns what is stored of a token: nobody can guess it, so that a quick hash will do."""
    return hashlib.sha256(token).hexdigest()
