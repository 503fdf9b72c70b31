"""Finds the job id that somebody typed: a whole one, or the last digits of that of a recent job.

An id of another kind is typed as `id_text` shows it, and stays such a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bson import ObjectId

from taskscheduler.errors import InvalidOptionError, JobNotFoundError
from taskscheduler.model.job_ids import id_of, id_text

JobId = ObjectId | str

SHORTEST = 5

_SHOWN = 5

_SUFFIX = re.compile(r"(?:…|\.{2,3})?([0-9a-f]{1,24})", re.IGNORECASE)


def resolve(given: str, recent: Callable[[], Iterable[Any]]) -> JobId:
    """Returns the id that `given` means; reads `recent` only for a suffix.

    Raises InvalidOptionError if it is malformed or ambiguous, JobNotFoundError if no recent id ends so.
    """
    found = _SUFFIX.fullmatch(given.strip())
    if found is None:
        return _other_kind(given)
    digits = found[1].lower()
    if len(digits) == 24:
        return ObjectId(digits)
    if len(digits) < SHORTEST:
        raise InvalidOptionError(f"{given!r} is too short: give at least the last {SHORTEST} digits of the id")
    matches = [job_id for job_id in recent() if isinstance(job_id, ObjectId) and str(job_id).endswith(digits)]
    if len(matches) > 1:
        shown = ", ".join(str(job_id) for job_id in matches[:_SHOWN])
        raise InvalidOptionError(f"{given!r} is ambiguous: {shown}; give more digits")
    if not matches:
        raise JobNotFoundError(given)
    return matches[0]


def _other_kind(given: str) -> JobId:
    try:
        job_id = id_of(given)
    except InvalidOptionError:
        raise InvalidOptionError(
            f"{given!r} is not a job id: give its 24 hex digits, or its last {SHORTEST} or more; "
            "an id of another kind as the list shows it, in single quotes"
        ) from None
    return job_id if isinstance(job_id, ObjectId) else id_text(job_id)


def resolve_all(given: Sequence[str], recent: Callable[[], Iterable[Any]]) -> list[JobId]:
    """Returns each of the ids once, in order; reads the recent ids at most once."""
    known: list[Any] = []

    def once() -> list[Any]:
        if not known:
            known.extend(recent())
        return known

    return list(dict.fromkeys(resolve(text, once) for text in given))
