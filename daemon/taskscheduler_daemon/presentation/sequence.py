"""How a blocked sequence looks: in a list, and as a record for programs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from taskscheduler.model.job_ids import id_text
from taskscheduler.operations.control.sequences import BlockedSequence
from taskscheduler.store.control.sequences import MOST_LISTED
from taskscheduler_daemon.presentation.durations import brief
from taskscheduler_daemon.presentation.job import error_line
from taskscheduler_daemon.presentation.limit import at_most

COLUMNS = ("SEQUENCE", "WAITING", "BLOCKED BY", "JOB", "STATE", "AGO", "ERROR")


def waiting(one: BlockedSequence) -> str:
    """Returns how many jobs wait behind the one that has failed."""
    return at_most(one.waiting, MOST_LISTED)


def ago(one: BlockedSequence, now: datetime) -> str:
    """Returns how long ago the job failed."""
    return "" if one.ended is None else brief(max(0.0, (now - one.ended).total_seconds()))


def row(one: BlockedSequence, now: datetime) -> tuple[str, ...]:
    """Returns the cells of a blocked sequence, in the order of COLUMNS."""
    failed = (id_text(one.job), one.job_class, one.status.label, ago(one, now), error_line(one.error))
    return (one.key, waiting(one), *failed)


def record(one: BlockedSequence) -> dict[str, Any]:
    """Returns a blocked sequence for programs."""
    return {
        "key": one.key,
        "id": one.job,
        "job": one.job_class,
        "state": one.status.label,
        "ended": one.ended,
        "error": one.error,
        "waiting": one.waiting,
    }
