"""Chooses what follows an attempt: a retry, the next run, or the end of the job."""

from __future__ import annotations

from dataclasses import dataclass

from taskscheduler.model.lifecycle import Ending, Transition, Verdict
from taskscheduler.model.services import Restart, verdict_of_service

MAX_LOST = 3  #: after so many lost workers or nodes a job fails, unless a node was started with another number


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The options and counts of a job that decide whether it runs again."""

    retry: int = 0  #: retries that it may have; -1: no limit
    retry_interval: float = 300
    interval: float = 0
    retries: int = 0  #: retries that it has had
    lost: int = 0  #: workers and nodes that died under it
    service: Restart | None = None  #: set for a service, to which nothing above applies


_AFTER_FAILURE = {Ending.FAILED: Transition.FAIL, Ending.TIMED_OUT: Transition.EXPIRE}


def verdict_after(ending: Ending, job: Recurrence, max_lost: int) -> Verdict:
    """Returns the transition after an attempt: retries come first, then the interval; a lost worker costs no retry."""
    if job.service is not None:
        return verdict_of_service(ending, job.service)
    repeats = job.interval != 0
    if ending is Ending.SUCCEEDED:
        return Verdict(Transition.SUCCEED, plans_next=repeats)
    if ending in (Ending.RETURNED, Ending.UNSTARTED):
        return Verdict(Transition.RELEASE)
    if ending is Ending.LOST:
        poisoned = job.lost + 1 >= max_lost
        return Verdict(Transition.POISON, plans_next=repeats) if poisoned else Verdict(Transition.RELEASE)
    if job.retry == -1 or job.retries < job.retry:
        return Verdict(Transition.RETRY if job.retry_interval > 0 else Transition.RETRY_NOW)
    return Verdict(_AFTER_FAILURE[ending], plans_next=repeats)
