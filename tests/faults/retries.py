"""Pure: the promises about tries: pauses are kept, a snooze costs nothing, and nothing starts too late."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

from tests.faults.checker import FAILED, TIMEOUT, Facts, Violation

ASKED = 0.4  #: seconds until the next try for which a job asks
SNOOZE = 0.3
_MARGIN = timedelta(seconds=0.05)  #: between the clocks of a node and of the server
_KEPT = 20  #: attempts


def pauses_are_kept(facts: Facts) -> Iterator[Violation]:
    """The next try begins when its pause is over: the plain one, one that has doubled, or that which the job named."""
    for job, document in facts.documents.items():
        attempts, retries = [*document.get("attempts", ()), document], 0
        if facts.is_service(job) or len(attempts) >= _KEPT:
            continue
        for entry, following in pairwise(attempts):
            if entry.get("status") not in (FAILED, TIMEOUT):
                continue
            pause, retries = _pause(document["options"], entry, retries), retries + 1
            started = following.get("started")
            if started is not None and started < entry["ended"] + timedelta(seconds=pause) - _MARGIN:
                text = f"attempt {following['attempt']} began before {pause} s were over"
                yield Violation("pauses are kept", job, text)


def _pause(options: Mapping[str, Any], entry: Mapping[str, Any], retries: int) -> float:
    if (entry.get("error") or {}).get("type") == "Retry":
        return ASKED
    plain = float(options.get("retry_interval", 0))
    return plain * 2**retries if options.get("backoff") == "exponential" else plain


def snoozes_are_free(facts: Facts) -> Iterator[Violation]:
    """A snooze is counted once for the attempt that has asked for it, and nothing else with it."""
    for change in facts.changes:
        charged = {"retries", "lost"} & set(change["set"])
        if "snoozes" in change["set"] and change["op"] == "update" and charged:
            yield Violation("a snooze costs nothing", change["job"], f"{sorted(charged)} changed with it")
    for job, document in facts.documents.items():
        asked = sum(run.how == "JobSnoozed" for run in facts.runs.get(job, ()))
        if document.get("snoozes", 0) > asked:
            text = f"{document['snoozes']} are counted, and it has asked {asked} times"
            yield Violation("a snooze is counted once", job, text)


def nothing_starts_too_late(facts: Facts) -> Iterator[Violation]:
    """A job starts by its time for the first time, or not at all."""
    for job, document in facts.documents.items():
        if "start_by" not in document["options"]:
            continue
        began = [one["started"] for one in (*document.get("attempts", ()), document) if one.get("started") is not None]
        latest = document["created"] + timedelta(seconds=document["options"]["start_by"])
        expired = (document.get("error") or {}).get("type") == "ExpiredError"
        if expired and facts.runs.get(job):
            yield Violation("nothing starts too late", job, "it was given up as late although it had started")
        elif began and min(began) > latest + _MARGIN:
            yield Violation("nothing starts too late", job, f"it began at {min(began)}, and had to by {latest}")
