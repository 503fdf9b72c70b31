"""What follows when an attempt ends: a retry, the next run, or the end of the job."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler.model.lifecycle import Ending, Transition, Verdict, target
from taskscheduler.model.retries import FailedTry, Recurrence, move_when_late, pause_before_retry, verdict_after

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
    (Ending.SUSPECTED, ONCE, Transition.RELEASE, False),
    (Ending.SUSPECTED, Recurrence(lost=9, interval=60, retry=2, retries=2), Transition.RELEASE, False),
    (Ending.UNSTARTED, ONCE, Transition.RELEASE, False),
    (Ending.UNSTARTED, Recurrence(lost=9, interval=60, retry=2, retries=2), Transition.RELEASE, False),
    (Ending.SNOOZED, ONCE, Transition.SNOOZE, False),
    (Ending.SNOOZED, Recurrence(lost=9, interval=60, retry=2, retries=2), Transition.SNOOZE, False),
]


@table(("ending", "job", "move", "plans_next"), CASES)
def test_what_follows_an_attempt(ending: Ending, job: Recurrence, move: Transition, plans_next: bool) -> None:
    assert verdict_after(ending, job, MAX_LOST) == Verdict(move, plans_next)


def test_the_cases_cover_every_ending() -> None:
    assert {case[0] for case in CASES} == set(Ending)


def test_max_lost_of_one_sets_a_job_aside_at_its_first_lost_worker() -> None:
    assert verdict_after(Ending.LOST, ONCE, 1) == Verdict(Transition.POISON)


@table(("ending", "job", "move", "plans_next"), CASES)
def test_a_next_run_is_planned_only_when_this_one_is_over(
    ending: Ending, job: Recurrence, move: Transition, plans_next: bool
) -> None:
    verdict = verdict_after(ending, job, MAX_LOST)
    assert verdict.status is target(move)
    if verdict.plans_next:
        assert verdict.status.is_final


# -- pauses -----------------------------------------------------------------------------------------------------------


def pauses(count: int, **options: Any) -> list[float]:
    """The pauses before the first retries."""
    return [pause_before_retry(Recurrence(retries=number, **options), FailedTry()) for number in range(count)]


@table(
    ("options", "expected"),
    [
        ({}, [300, 300, 300, 300]),
        ({"retry_interval": 5}, [5, 5, 5, 5]),
        ({"retry_interval": 5, "backoff": "linear"}, [5, 10, 15, 20]),
        ({"retry_interval": 5, "backoff": "exponential"}, [5, 10, 20, 40]),
        ({"retry_interval": 5, "backoff": "exponential", "longest": 12}, [5, 10, 12, 12]),
        ({"retry_interval": 0, "backoff": "exponential"}, [0, 0, 0, 0]),
        ({"retry_interval": 5, "backoff": [1, 0, 30]}, [1, 0, 30, 30]),
        ({"retry_interval": 50, "longest": 12}, [12, 12, 12, 12]),
        ({"retry_interval": 50, "backoff": "linear", "longest": 12}, [12, 12, 12, 12]),
        ({"retry_interval": 100_000, "backoff": "linear"}, [86_400, 86_400, 86_400, 86_400]),
        ({"retry_interval": 100_000}, [100_000, 100_000, 100_000, 100_000]),  # as before there was a longest pause
    ],
)
def test_pauses_grow_up_to_the_longest(options: dict[str, Any], expected: list[float]) -> None:
    assert pauses(4, **options) == expected


def test_a_pause_that_has_doubled_a_thousand_times_is_the_longest() -> None:
    assert pause_before_retry(Recurrence(retries=10**9, backoff="exponential"), FailedTry()) == 86_400


@table("backoff", ["constant", "linear", "exponential", [8]])
@table(("jitter", "chance", "share"), [(0.5, 0, 1), (0.5, 1, 0.5), (1, 1, 0), (0.2, 0.5, 0.9), (0, 1, 1)])
def test_jitter_shortens_a_pause_by_a_share_of_it_at_most(
    backoff: Any, jitter: float, chance: float, share: float
) -> None:
    job = Recurrence(retry_interval=8, backoff=backoff, jitter=jitter)
    assert pause_before_retry(job, FailedTry(chance=chance)) == pytest.approx(8 * share)


def test_what_the_job_says_is_not_left_to_chance_and_not_longer_than_the_longest_pause() -> None:
    job = Recurrence(retry_interval=8, backoff="exponential", jitter=1, longest=60)
    assert [pause_before_retry(job, FailedTry(after=after, chance=1)) for after in (0, 30, 90)] == [0, 30, 60]


def test_the_verdict_says_the_pause_if_it_is_not_the_plain_one() -> None:
    growing = Recurrence(retry=9, retry_interval=5, retries=2, backoff="exponential")
    assert verdict_after(Ending.FAILED, growing, MAX_LOST) == Verdict(Transition.RETRY, pause=20)
    assert verdict_after(Ending.TIMED_OUT, growing, MAX_LOST) == Verdict(Transition.RETRY, pause=20)
    first = Recurrence(retry=9, retry_interval=5, backoff="exponential")
    assert verdict_after(Ending.FAILED, first, MAX_LOST) == Verdict(Transition.RETRY)
    at_once = Recurrence(retry=9, backoff=[0, 5])
    assert verdict_after(Ending.FAILED, at_once, MAX_LOST) == Verdict(Transition.RETRY_NOW, pause=0)
    assert verdict_after(Ending.FAILED, at_once, MAX_LOST, FailedTry(after=7)) == Verdict(Transition.RETRY, pause=7)
    assert verdict_after(Ending.SNOOZED, ONCE, MAX_LOST, FailedTry(after=60)) == Verdict(Transition.SNOOZE, pause=60)


# -- no more tries ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ending", "move"), [(Ending.FAILED, Transition.FAIL), (Ending.TIMED_OUT, Transition.EXPIRE)])
def test_no_try_begins_later_than_the_limit_after_the_first_start(ending: Ending, move: Transition) -> None:
    job = Recurrence(retry=-1, retry_interval=10, retry_for=60, interval=5)
    assert verdict_after(ending, job, MAX_LOST, FailedTry(elapsed=50)) == Verdict(Transition.RETRY)
    late = verdict_after(ending, job, MAX_LOST, FailedTry(elapsed=50.1))
    why = "its next try would begin more than 60 s after the first start"
    assert late == Verdict(move, plans_next=True, given_up=why)
    asked = verdict_after(ending, job, MAX_LOST, FailedTry(elapsed=1, after=59.5))
    assert asked.status.is_final


def test_an_error_that_must_not_be_tried_again_is_the_end_and_says_why_if_there_was_a_retry_left() -> None:
    final = FailedTry(final="the job was discarded")
    job = Recurrence(retry=3, interval=60)
    assert verdict_after(Ending.FAILED, job, MAX_LOST, final) == Verdict(
        Transition.FAIL, plans_next=True, given_up="the job was discarded"
    )
    assert verdict_after(Ending.FAILED, ONCE, MAX_LOST, final) == Verdict(Transition.FAIL)


@table(
    ("job", "move"),
    [
        ({"expires": 1}, Transition.CANCEL_LATE),
        ({"expires": 1, "rearmed": "1:"}, Transition.CANCEL_LATE),
        ({"expires": 1, "first_started": 1, "rearmed": "2:failed"}, Transition.FAIL_LATE),
        ({"expires": 1, "first_started": 1, "rearmed": "2:timeout"}, Transition.EXPIRE_LATE),
        ({"expires": 1, "first_started": 1}, Transition.FAIL_LATE),
    ],
)
def test_a_queued_job_that_is_late_ends_by_what_it_waited_for(job: dict[str, Any], move: Transition) -> None:
    assert move_when_late(job) is move
