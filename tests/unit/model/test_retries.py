"""What follows when an attempt ends: a retry, the next run, or the end of the job."""

from __future__ import annotations

import pytest

from taskscheduler.model.lifecycle import Ending, Transition, Verdict, target
from taskscheduler.model.retries import Recurrence, verdict_after

ONCE = Recurrence()
SERIES = Recurrence(interval=60)
ENDLESS_SERIES = Recurrence(interval=-1)
MAX_LOST = 3

CASES = [
    (Ending.SUCCEEDED, ONCE, Transition.SUCCEED, False),
    (Ending.SUCCEEDED, SERIES, Transition.SUCCEED, True),
    (Ending.SUCCEEDED, ENDLESS_SERIES, Transition.SUCCEED, True),
    (Ending.SUCCEEDED, Recurrence(retry=3, retries=1, lost=2), Transition.SUCCEED, False),
    (Ending.FAILED, ONCE, Transition.FAIL, False),
    (Ending.FAILED, SERIES, Transition.FAIL, True),
    (Ending.FAILED, Recurrence(retry=1), Transition.RETRY, False),
    (Ending.FAILED, Recurrence(retry=1, retry_interval=0), Transition.RETRY_NOW, False),
    (Ending.FAILED, Recurrence(retry=1, retry_interval=0.001), Transition.RETRY, False),
    (Ending.FAILED, Recurrence(retry=1, retries=1), Transition.FAIL, False),
    (Ending.FAILED, Recurrence(retry=2, retries=1), Transition.RETRY, False),
    (Ending.FAILED, Recurrence(retry=1, retries=2), Transition.FAIL, False),
    (Ending.FAILED, Recurrence(retry=-1, retries=10**6), Transition.RETRY, False),
    (Ending.FAILED, Recurrence(retry=-1, retry_interval=0), Transition.RETRY_NOW, False),
    (Ending.FAILED, Recurrence(retry=1, interval=60), Transition.RETRY, False),
    (Ending.FAILED, Recurrence(retry=1, interval=60, retries=1), Transition.FAIL, True),
    (Ending.FAILED, Recurrence(lost=MAX_LOST), Transition.FAIL, False),
    (Ending.TIMED_OUT, ONCE, Transition.EXPIRE, False),
    (Ending.TIMED_OUT, SERIES, Transition.EXPIRE, True),
    (Ending.TIMED_OUT, Recurrence(retry=1), Transition.RETRY, False),
    (Ending.TIMED_OUT, Recurrence(retry=1, retries=1, interval=-1), Transition.EXPIRE, True),
    (Ending.LOST, ONCE, Transition.RELEASE, False),
    (Ending.LOST, SERIES, Transition.RELEASE, False),
    (Ending.LOST, Recurrence(lost=1), Transition.RELEASE, False),
    (Ending.LOST, Recurrence(lost=2), Transition.POISON, False),
    (Ending.LOST, Recurrence(lost=7), Transition.POISON, False),
    (Ending.LOST, Recurrence(lost=2, interval=60), Transition.POISON, True),
    (Ending.LOST, Recurrence(lost=2, retry=-1), Transition.POISON, False),
    (Ending.LOST, Recurrence(retry=0, retries=5), Transition.RELEASE, False),
    (Ending.RETURNED, ONCE, Transition.RELEASE, False),
    (Ending.RETURNED, Recurrence(lost=9, interval=60, retry=2, retries=2), Transition.RELEASE, False),
    (Ending.UNSTARTED, ONCE, Transition.RELEASE, False),
    (Ending.UNSTARTED, Recurrence(lost=9, interval=60, retry=2, retries=2), Transition.RELEASE, False),
]


@pytest.mark.parametrize(("ending", "job", "move", "plans_next"), CASES)
def test_what_follows_an_attempt(ending: Ending, job: Recurrence, move: Transition, plans_next: bool) -> None:
    assert verdict_after(ending, job, MAX_LOST) == Verdict(move, plans_next)


def test_the_cases_cover_every_ending() -> None:
    assert {case[0] for case in CASES} == set(Ending)


def test_max_lost_of_one_sets_a_job_aside_at_its_first_lost_worker() -> None:
    assert verdict_after(Ending.LOST, ONCE, 1) == Verdict(Transition.POISON)


@pytest.mark.parametrize(("ending", "job", "move", "plans_next"), CASES)
def test_a_next_run_is_planned_only_when_this_one_is_over(
    ending: Ending, job: Recurrence, move: Transition, plans_next: bool
) -> None:
    verdict = verdict_after(ending, job, MAX_LOST)
    assert verdict.status is target(move)
    if verdict.plans_next:
        assert verdict.status.is_final
