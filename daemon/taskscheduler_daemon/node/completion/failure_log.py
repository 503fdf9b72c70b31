"""Logs attempts that failed, ran out of time or lost their worker, one line each."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taskscheduler.clock import Clock
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.store.attempt_updates import Completion
from taskscheduler_daemon.node.state.in_flight import Attempt

logger = logging.getLogger(__name__)

MOST_PER_SECOND = 100  #: lines; a queue of jobs that all fail must not fill the disk, nor keep the node busy

LONGEST_REASON = 300

_TEXTS = {Ending.FAILED: "job failed", Ending.TIMED_OUT: "job ran out of time", Ending.LOST: "job lost its worker"}

_FRAME = re.compile(r'^  File "([^"\n]+)", line (\d+)', re.MULTILINE)

_OURS = ("taskscheduler", "jobs", "executor.py")  #: raised here, an error is not about a line of the job


class FailureLog:
    """Logs what a person needs to know about a failure, without the data of the job, which may be secret."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = -1
        self._logged = 0

    def ended(self, attempt: Attempt, ending: Ending, completion: Completion) -> None:
        """Logs the end of an attempt, unless it is a good one."""
        text = _TEXTS.get(ending)
        if text is None or not self._has_room():
            return
        error = completion.error or {}
        reason = _reason(error)
        facts = {"job": str(attempt.fence.job_id), "job_name": attempt.job["class"], "attempt": attempt.fence.attempt}
        where = _where(str(error.get("traceback") or ""))
        again = {} if completion.verdict.status.is_final else {"then": _next(completion)}
        logger.warning(f"{text}: {reason}" if reason else text, extra={**facts, **where, **again})

    def _has_room(self) -> bool:
        second = int(self._clock.monotonic())
        if second != self._second:
            self._second, self._logged = second, 0
        self._logged += 1
        if self._logged == MOST_PER_SECOND + 1:
            logger.warning("more jobs fail than are logged here; see taskscheduler list --status failed")
        return self._logged <= MOST_PER_SECOND


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
