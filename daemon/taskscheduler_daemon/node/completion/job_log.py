"""Logs the starts and ends of attempts, one line each, as far as there is room for them."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from taskscheduler.clock import Clock
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.store.attempts.completion import Completion
from taskscheduler_daemon.ipc.messages import Report
from taskscheduler_daemon.node.state.in_flight import Attempt

logger = logging.getLogger(__name__)

MOST_AT_ONCE, EACH_SECOND = 50, 10  #: lines about starts, and as many about ends: more would fill a disk under load

MOST_FAILURES = 100  #: lines a second, so that a queue of jobs that all fail does not keep the node busy

LONGEST_REASON = 300

_TEXTS = {
    Ending.SUCCEEDED: "job done",
    Ending.FAILED: "job failed",
    Ending.TIMED_OUT: "job ran out of time",
    Ending.LOST: "job lost its worker",
    Ending.SUSPECTED: "job lost its worker beside others",
    Ending.SNOOZED: "job snoozes",
    Ending.RETURNED: "job handed back",
    Ending.UNSTARTED: "job handed back before it started",
}

_DONE = Status.DONE  # for the end of each attempt: as an attribute of its class it takes as long as a call

_BAD = (Ending.FAILED, Ending.TIMED_OUT, Ending.LOST, Ending.SUSPECTED)

_FRAME = re.compile(r'^  File "([^"\n]+)", line (\d+)', re.MULTILINE)

_OURS = ("taskscheduler", "jobs", "executor.py")  #: raised here, an error is not about a line of the job


class Quota:
    """Lets so many lines through until it is filled up again, and counts the others.

    One thread takes, and another one may refill: a line more or less does no harm.
    """

    def __init__(self, most: int, each_refill: int) -> None:
        self._most = self._left = most
        self._each_refill = each_refill
        self._left_out = self._told = 0

    def take(self, wanted: int = 1) -> int:
        """Returns how many of these lines may be written."""
        if not self._left:
            self._left_out += wanted
            return 0
        granted = min(wanted, self._left)
        self._left -= granted
        self._left_out += wanted - granted
        return granted

    @property
    def has_left_out(self) -> bool:
        """Whether lines were left out since the last refill."""
        return self._left_out != self._told

    def refill(self) -> int:
        """Returns how many lines were left out since the last call."""
        self._left, left_out = min(self._most, self._left + self._each_refill), self._left_out
        since, self._told = left_out - self._told, left_out
        return since


class JobLog:
    """Logs what a person needs to know about attempts, without the data of the jobs, which may be secret."""

    def __init__(self, clock: Clock) -> None:
        self._refilled_at = clock.monotonic()
        self._starts = Quota(MOST_AT_ONCE, EACH_SECOND)
        self._ends = Quota(MOST_AT_ONCE, EACH_SECOND)
        self._failures = Quota(MOST_FAILURES, MOST_FAILURES)

    def started(self, attempts: Sequence[Attempt]) -> None:
        """Logs attempts that go to the manager."""
        for attempt in attempts[: self._starts.take(len(attempts))]:
            logger.info("job starts", extra=_facts(attempt))

    def cancelled(self, attempt: Attempt) -> None:
        """Logs that an attempt ends because its job was cancelled."""
        if self._ends.take():
            logger.info("job cancelled", extra=_facts(attempt))

    def ended(self, attempt: Attempt, report: Report, completion: Completion) -> None:
        """Logs the end of an attempt: as a warning if it is not a good one, or the job is given up."""
        status = completion.verdict.status
        if report.ending in _BAD or (status is not _DONE and status.is_final):
            self._failed(attempt, report, completion)
        elif self._ends.take():
            text, waits = _waiting(completion) if report.ending is Ending.SNOOZED else (_TEXTS[report.ending], {})
            logger.info(text, extra={**_facts(attempt), **_seconds(report), **waits})

    def succeeded(self, ends: Sequence[tuple[Attempt, Report]]) -> None:
        """Logs the ends of attempts that have just succeeded."""
        for attempt, report in ends[: self._ends.take(len(ends))]:
            logger.info(_TEXTS[Ending.SUCCEEDED], extra={**_facts(attempt), **_seconds(report)})

    def _failed(self, attempt: Attempt, report: Report, completion: Completion) -> None:
        if not self._failures.take():
            return
        error = completion.error or {}
        text, reason = _TEXTS[report.ending], _reason(error)
        where = _where(str(error.get("traceback") or ""))
        again = {} if completion.verdict.status.is_final else {"then": _next(completion)}
        facts = {**_facts(attempt), **_seconds(report), **where, **again}
        logger.warning(f"{text}: {reason}" if reason else text, extra=facts)

    @property
    def has_more_to_say(self) -> bool:
        """Whether lines were left out, and `keep_time` will say how many."""
        return any(quota.has_left_out for quota in (self._starts, self._ends, self._failures))

    def keep_time(self, now: float) -> None:
        """Makes room for more lines each second, and says how many were left out before."""
        if now - self._refilled_at >= 1.0:
            self._refilled_at = now
            self.tell()

    def tell(self) -> None:
        """Says how many lines were left out."""
        starts, ends, failures = self._starts.refill(), self._ends.refill(), self._failures.refill()
        if starts or ends:
            facts = {"starts": starts, "ends": ends}
            logger.info("more jobs start and end than are logged here; left out", extra=facts)
        if failures:
            text = "more jobs fail than are logged here; see taskscheduler list --status failed"
            logger.warning(text, extra={"left_out": failures})


def _facts(attempt: Attempt) -> dict[str, Any]:
    fence = attempt.fence
    return {"job": str(fence.job_id), "job_name": attempt.job.get("class"), "attempt": fence.attempt}


def _waiting(completion: Completion) -> tuple[str, dict[str, str]]:
    """Returns what to say of an attempt that has put its job off, and for which signal it waits."""
    awaits = completion.again.awaits if completion.again is not None else None
    if not awaits:
        return _TEXTS[Ending.SNOOZED], {}
    return ("job waits for a signal", {"signal": str(awaits["name"])}) if "name" in awaits else ("job sleeps", {})


def _seconds(report: Report) -> dict[str, float]:
    return {"seconds": round(report.seconds, 3)} if report.seconds else {}


def _reason(error: Mapping[str, Any]) -> str:
    """Returns the type and the first line of the message, without control characters that a terminal would obey."""
    lines = str(error.get("message") or "").strip().splitlines()
    parts = [part for part in (str(error.get("type") or ""), lines[0] if lines else "") if part]
    text = ": ".join(parts)[:LONGEST_REASON]
    return text if text.isprintable() else "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _where(traceback: str) -> dict[str, str]:
    """Returns the file and the line of the job that raised."""
    frames = _FRAME.findall(traceback)
    if not frames:
        return {}
    path, line = Path(frames[-1][0]), frames[-1][1]
    return {} if path.parts[-3:] == _OURS else {"at": f"{path.name}:{line}"}


def _next(completion: Completion) -> str:
    """Returns when the job runs again."""
    return f"again in {completion.retry_interval:g} s" if completion.verdict.status is Status.POSTPONED else "again"
