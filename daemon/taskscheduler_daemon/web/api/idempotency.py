"""Carries out a request with a key of its client once, however often and from wherever it is sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from taskscheduler.operations.audit.acting import acting_name
from taskscheduler.store import Store
from taskscheduler_daemon.web.http.problems import ProblemError

LONGEST_KEY = 255  #: characters


def once_by_key(
    store: Store, key: str, request: bytes, act: Callable[[Any], dict[str, Any]]
) -> tuple[dict[str, Any], bool]:
    """Returns the answer to a request, and whether it is that to an earlier one with this key.

    `act` is called with a session in whose transaction it stores what the request asks for, and returns the answer, of
    plain JSON types. ProblemError if the earlier request was another one. Errors of `act` are not kept, so the
    request can be repeated.
    """
    made = hashlib.sha256(request).hexdigest()
    named = hashlib.sha256(f"{acting_name()}\n{key}".encode()).hexdigest()  # each user has keys of his own
    answered = store.requests.carry_out(named, made, lambda session: json.dumps(act(session)))
    if answered.request != made:
        raise ProblemError(
            422,
            "idempotency-key-reused",
            f"The Idempotency-Key {key!r:.60} was used for another request within the last 24 hours; "
            "repeat that request as it was, or choose another key",
        )
    answer: dict[str, Any] = json.loads(answered.answer)
    return answer, answered.is_repeated
