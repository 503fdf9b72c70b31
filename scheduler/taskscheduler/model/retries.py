"""What follows when an attempt ends: retry, next run, poison. Back-off and dead letters come here."""

from __future__ import annotations

from dataclasses import dataclass

from taskscheduler.model.lifecycle import Ending, Transition, Verdict
from taskscheduler.model.services import Restart, _after_service

MAX_LOST = 3  #: after so many lost workers or nodes a job fails, unless a node was started with another number


@dataclass(frozen=True, slots=True)
class Recurrence:
    """What decides whether a job runs again."""

    retry: int = 0  #: how often it may be tried again; -1: for ever
    retry_interval: float = 300
    interval: float = 0
    retries: int = 0  #: how often it was tried again already
    lost: int = 0  #: how often its worker or node died already
    service: Restart | None = None  #: set for a service, which nothing above applies to


_AFTER_FAILURE = {Ending.FAILED: Transition.FAIL, Ending.TIMED_OUT: Transition.EXPIRE}


def after(ending: Ending, job: Recurrence, max_lost: int) -> Verdict:
    """The move that follows an attempt: retries first, then the interval; a lost worker costs no retry."""
    if job.service is not None:
        return _after_service(ending, job.service)
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
