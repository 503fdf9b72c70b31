"""Chooses what follows an attempt: a retry, the next run, or the end of the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from taskscheduler.model.checks import CONSTANT, EXPONENTIAL, LONGEST_PAUSE
from taskscheduler.model.lifecycle import Ending, Transition, Verdict
from taskscheduler.model.services import Restart, verdict_of_service

MAX_LOST = 3  #: after so many charged losses a job fails, unless a node was started with another number

_MOST_DOUBLINGS = 60


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The options and counts of a job that decide whether it runs again."""

    retry: int = 0  #: retries that it may have; -1: no limit
    retry_interval: float = 300
    interval: float = 0
    retries: int = 0  #: retries that it has had
    lost: int = 0  #: workers and nodes whose death was charged to it
    service: Restart | None = None  #: set for a service, to which nothing above applies
    backoff: str | Sequence[float] = CONSTANT
    longest: float = LONGEST_PAUSE  #: seconds that a pause before a retry may take
    jitter: float = 0  #: the share of a pause that is left to chance
    retry_for: float = 0  #: seconds after the first start in which a try may begin; 0: no limit


class FailedTry(NamedTuple):
    """What is known about a failed attempt, beside that it failed."""

    final: str = ""  #: why the job must not be tried again; empty: it may be
    after: float | None = None  #: seconds until the next try, if the job itself has said that
    elapsed: float = 0.0  #: seconds from the first start of the job to this end
    chance: float = 0.0  #: a number from 0 to 1


_AFTER_FAILURE = {Ending.FAILED: Transition.FAIL, Ending.TIMED_OUT: Transition.EXPIRE}

_UNREMARKABLE = FailedTry()


def verdict_after(ending: Ending, job: Recurrence, max_lost: int, failure: FailedTry = _UNREMARKABLE) -> Verdict:
    """Returns the transition after an attempt: retries come first, then the interval; a lost worker costs no retry."""
    if job.service is not None:
        return verdict_of_service(ending, job.service)
    repeats = job.interval != 0
    if ending is Ending.SUCCEEDED:
        return Verdict(Transition.SUCCEED, plans_next=repeats)
    if ending is Ending.SNOOZED:
        return Verdict(Transition.SNOOZE, pause=failure.after)
    if ending in (Ending.RETURNED, Ending.UNSTARTED, Ending.SUSPECTED):
        return Verdict(Transition.RELEASE)
    if ending is Ending.LOST:
        poisoned = job.lost + 1 >= max_lost
        return Verdict(Transition.POISON, plans_next=repeats) if poisoned else Verdict(Transition.RELEASE)
    pause = pause_before_retry(job, failure)
    if (why := why_given_up(job, failure, pause)) is not None:
        return Verdict(_AFTER_FAILURE[ending], plans_next=repeats, given_up=why)
    move = Transition.RETRY if pause > 0 else Transition.RETRY_NOW
    return Verdict(move, pause=None if pause == job.retry_interval else pause)


def why_given_up(job: Recurrence, failure: FailedTry, pause: float) -> str | None:
    """Returns why a job that failed is not tried again after this pause; None if it is, empty if no retry is left."""
    if job.retry != -1 and job.retries >= job.retry:
        return ""
    if failure.final:
        return failure.final
    late = job.retry_for and failure.elapsed + pause > job.retry_for
    return f"its next try would begin more than {job.retry_for:g} s after the first start" if late else None


def pause_before_retry(job: Recurrence, failure: FailedTry) -> float:
    """Returns the seconds before the next retry. What the job itself has said is not left to chance."""
    if failure.after is not None:
        return min(failure.after, job.longest)
    pause = _planned_pause(job)
    if job.backoff != CONSTANT or job.longest != LONGEST_PAUSE:  # a constant pause may have been longer ever since
        pause = min(pause, job.longest)
    return pause * (1 - job.jitter * failure.chance)


def _planned_pause(job: Recurrence) -> float:
    if job.backoff == CONSTANT:
        return job.retry_interval
    if not isinstance(job.backoff, str):
        return job.backoff[min(job.retries, len(job.backoff) - 1)]
    if job.backoff == EXPONENTIAL:
        return job.retry_interval * 2.0 ** min(job.retries, _MOST_DOUBLINGS)
    return job.retry_interval * (job.retries + 1)


def move_when_late(job: Mapping[str, Any]) -> Transition:
    """Returns the transition of a queued job whose time to start is over: of a retry it is that of its last attempt."""
    if "first_started" not in job:
        return Transition.CANCEL_LATE
    timed_out = str(job.get("rearmed", "")).endswith(":timeout")
    return Transition.EXPIRE_LATE if timed_out else Transition.FAIL_LATE
