"""How a mistake looks by which jobs have failed: as a row, and as a record for programs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from taskscheduler.model.failures import Failure
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import count, error_line
from taskscheduler_daemon.presentation.text import iso

COLUMNS = ("FINGERPRINT", "COUNT", "FIRST", "LAST", "JOB", "PLACE", "EXAMPLE", "ERROR")


def record(failure: Failure) -> dict[str, Any]:
    """Returns a mistake for programs."""
    return asdict(failure)


def row(failure: Failure) -> tuple[str, ...]:
    """Returns the cells of a mistake, in the order of COLUMNS."""
    return _cells(failure, iso(failure.first), iso(failure.last))


def row_with_ages(failure: Failure, now: datetime) -> tuple[str, ...]:
    """Returns the same for people: how long ago it was."""
    first, last = (f"{brief(max(0.0, (now - moment).total_seconds()))} ago" for moment in (failure.first, failure.last))
    return _cells(failure, first, last)


def _cells(failure: Failure, first: str, last: str) -> tuple[str, ...]:
    error = error_line({"type": failure.type, "message": failure.message})
    place, example = failure.place or "", str(failure.example)
    return (
        failure.fingerprint,
        count(failure.count, failure.is_complete),
        first,
        last,
        failure.job,
        place,
        example,
        error,
    )
