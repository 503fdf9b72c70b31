"""Tells the log of attempts that failed, ran out of time or lost their worker, each in one line."""

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

_SAID = {Ending.FAILED: "job failed", Ending.TIMED_OUT: "job ran out of time", Ending.LOST: "job lost its worker"}

_FRAME = re.compile(r'^  File "([^"\n]+)", line (\d+)', re.MULTILINE)

_OURS = ("taskscheduler", "jobs", "executor.py")  #: raised here, an error is not about a line of the job


class FailureLog:
    """What of a job's end a log should have. Without the data of the job, which may be secret."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = -1
        self._told = 0

    def ended(self, attempt: Attempt, ending: Ending, finish: Completion) -> None:
        """An attempt has ended so; all is well with most of them."""
        said = _SAID.get(ending)
        if said is None or not self._has_room():
            return
        error = finish.error or {}
        reason = _reason(error)
        facts = {"job": str(attempt.fence.job_id), "job_name": attempt.job["class"], "attempt": attempt.fence.attempt}
        where = _where(str(error.get("traceback") or ""))
        again = {} if finish.verdict.status.is_final else {"then": _next(finish)}
        logger.warning(f"{said}: {reason}" if reason else said, extra={**facts, **where, **again})

    def _has_room(self) -> bool:
        second = int(self._clock.monotonic())
        if second != self._second:
            self._second, self._told = second, 0
        self._told += 1
        if self._told == MOST_PER_SECOND + 1:
            logger.warning("more jobs fail, and are not told here: taskscheduler list --status failed")
        return self._told <= MOST_PER_SECOND


def _reason(error: Mapping[str, Any]) -> str:
    """Type and the first line of the message, without what could steer a terminal."""
    lines = str(error.get("message") or "").strip().splitlines()
    parts = [part for part in (str(error.get("type") or ""), lines[0] if lines else "") if part]
    text = ": ".join(parts)[:LONGEST_REASON]
    return text if text.isprintable() else "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _where(traceback: str) -> dict[str, str]:
    """File and line of the job that raised."""
    frames = _FRAME.findall(traceback)
    if not frames:
        return {}
    path, line = Path(frames[-1][0]), frames[-1][1]
    return {} if path.parts[-3:] == _OURS else {"at": f"{path.name}:{line}"}


def _next(finish: Completion) -> str:
    """What happens to the job, which has not ended."""
    return f"again in {finish.retry_interval:g} s" if finish.verdict.status is Status.POSTPONED else "again"
