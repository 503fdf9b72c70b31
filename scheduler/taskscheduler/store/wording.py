"""Decides what is said when MongoDB refuses us or cannot be reached: one line, what is wrong and what helps.

The server quotes the whole command that it refuses, with the data in it; that is not repeated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pymongo.errors import OperationFailure

_UNAUTHORIZED = 13
_NOT_ALLOWED = re.compile(
    r"not authorized on (?P<database>\S+) to execute command \{ (?P<command>\w+): (?P<target>[^,]+)"
)
_CREATING = {"create", "createIndexes", "collMod", "convertToCapped"}

#: what the driver says of a server that it cannot talk to, and what that means most often
_CURES: tuple[tuple[str, str], ...] = (
    ("Hostname mismatch", "its certificate is for another name than the one in the URI"),
    ("IP address mismatch", "its certificate is for another address than the one in the URI"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted; name who has signed it: tlsCAFile=/path/to/ca.pem"),
    ("SSL handshake failed", "if it does not speak TLS, take tls=true out of the URI"),
    (
        "connection closed",
        "if it demands TLS, put tls=true into the URI, and tlsCertificateKeyFile=/path/to/client.pem if it wants to "
        "see a certificate",
    ),
)


def unreachable(error: Exception) -> str:
    """What is said when no server can be talked to."""
    reason = first_sentence(error)
    cure = next((cure for sign, cure in _CURES if sign in reason), "is it running, and is the URI right?")
    return f"no MongoDB server could be reached ({reason}); {cure}"


def refused_login(error: OperationFailure) -> str:
    """What is said when the server refuses who we are, or what this user may not do."""
    reason = details_of(error)
    if error.code != _UNAUTHORIZED:
        cure = "check both, and authSource in the URI if the user is not one of this database"
        return f"MongoDB refused this user or password: {reason.rstrip('.')}; {cure}"
    if reason.endswith("requires authentication"):
        return "MongoDB demands a user and a password; the URI names none: mongodb://USER:PASSWORD@host/database"
    return _not_allowed(reason)


def _not_allowed(reason: str) -> str:
    found = _NOT_ALLOWED.match(reason)
    if found is None:
        return f"MongoDB does not allow this to the user: {reason.partition('{')[0].strip()}"
    command, target = found["command"], found["target"].strip('" }')
    place = found["database"] if target == "1" else f"{found['database']}.{target}"
    if command in _CREATING:
        cure = "connect once as a user with the role taskscheduler_setup, which may create what is missing"
    else:
        cure = "grant it the role taskscheduler_run"
    return f"MongoDB does not let this user run {command} on {place}; {cure}"


def details_of(error: OperationFailure) -> str:
    """The server's own words."""
    details: Mapping[str, Any] = error.details or {}
    return str(details.get("errmsg") or first_sentence(error))


def first_sentence(error: Exception) -> str:
    """What the driver says, without its settings and its view of the servers."""
    return str(error).split(", Timeout:")[0].split(", full error:")[0].split(" (configured timeouts")[0]
