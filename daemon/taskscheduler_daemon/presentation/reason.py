"""How reasons look: why a job does not run, and how many jobs there are for each reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskscheduler.model.control.reasons import MOST_COUNTED, Code, Reason
from taskscheduler.model.lifecycle import Status
from taskscheduler.process import Process
from taskscheduler_daemon.presentation.text import more_than

COLUMNS = ("CODE", "JOBS", "MEANING")

#: what a code says about several jobs
MEANINGS: Mapping[Code, str] = {
    Code.ENDED: "they have ended",
    Code.RUNNING: "they run",
    Code.NOT_DUE: "their time has not come",
    Code.WAITING_FOR: "they wait for another job or a signal",
    Code.NO_NODE: "no node is up",
    Code.NO_NODE_SERVES: "no node that is up serves their queue",
    Code.NO_NODE_KNOWS: "no node of their queue knows their class",
    Code.PAUSED: "somebody has paused them",
    Code.SEQUENCE: "another job of their sequence comes first",
    Code.LIMIT: "all places of a limit are taken",
    Code.SOLO: "another job with their solo key may run",
    Code.RATE: "as many have started as a rate allows",
    Code.BEHIND: "jobs of other groups take turns with them",
    Code.SLOTS: "they wait for a slot",
}


def is_kept_waiting(job: Process) -> bool:
    """Returns whether a job is live and does not run, so that people ask why."""
    return job.status in (Status.WAITING, Status.POSTPONED)


def counted(number: int) -> str:
    """Returns a number of jobs, which are counted up to one more than MOST_COUNTED."""
    return more_than(MOST_COUNTED) if number > MOST_COUNTED else str(number)


def rows(counts: Mapping[Code, int]) -> list[tuple[str, ...]]:
    """Returns the cells of each reason, in the order of COLUMNS."""
    return [(code, counted(number), MEANINGS[code]) for code, number in counts.items()]


def record(reason: Reason) -> dict[str, Any]:
    """Returns a reason for programs."""
    return {"code": str(reason.code), "text": reason.text, "facts": dict(reason.facts)}


def summary_record(counts: Mapping[Code, int]) -> dict[str, int]:
    """Returns how many jobs there are for each reason, for programs."""
    return {str(code): number for code, number in counts.items()}
