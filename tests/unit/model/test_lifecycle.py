"""The table of moves, and what follows when an attempt ends."""

from __future__ import annotations

import re

import pytest

from taskscheduler.model import lifecycle
from taskscheduler.model.lifecycle import (
    FINAL,
    LIVE,
    QUEUED,
    RUNNING,
    TRANSITIONS,
    UNSUCCESSFUL,
    Ending,
    Status,
    Transition,
    Verdict,
    sources,
    target,
)
from taskscheduler.model.retries import Recurrence, verdict_after
from taskscheduler.model.services import Restart, RestartPolicy

WAITING, POSTPONED, PROCESSING = Status.WAITING, Status.POSTPONED, Status.PROCESSING

#: written down a second time on purpose: from where each move may start, and where it leads
ALLOWED: dict[Transition, tuple[set[Status], Status]] = {
    Transition.PROMOTE: ({POSTPONED}, WAITING),
    Transition.CLAIM: ({WAITING}, PROCESSING),
    Transition.SUCCEED: ({PROCESSING}, Status.DONE),
    Transition.FAIL: ({PROCESSING}, Status.FAILED),
    Transition.EXPIRE: ({PROCESSING}, Status.TIMEOUT),
    Transition.RETRY: ({PROCESSING}, POSTPONED),
    Transition.RETRY_NOW: ({PROCESSING}, WAITING),
    Transition.RELEASE: ({PROCESSING}, WAITING),
    Transition.POISON: ({PROCESSING}, Status.FAILED),
    Transition.CANCEL: ({WAITING, POSTPONED, PROCESSING}, Status.CANCELED),
    Transition.FAIL_PARENT: ({WAITING, POSTPONED, PROCESSING}, Status.FAILED),
    Transition.REQUEUE: ({Status.DONE, Status.FAILED, Status.CANCELED, Status.TIMEOUT}, WAITING),
    Transition.REQUEUE_SOLO: ({Status.DONE, Status.FAILED, Status.CANCELED, Status.TIMEOUT}, POSTPONED),
}


def test_the_numbers_of_the_statuses_are_those_of_the_seed() -> None:
    numbers = {status.name: int(status) for status in Status}
    assert numbers == {
        "WAITING": 0,
        "POSTPONED": 1,
        "PROCESSING": 2,
        "DONE": 3,
        "FAILED": 4,
        "CANCELED": 5,
        "TIMEOUT": 6,
    }


def test_every_move_has_a_rule() -> None:
    assert set(TRANSITIONS) == set(Transition) == set(ALLOWED)


@pytest.mark.parametrize("move", Transition)
@pytest.mark.parametrize("status", Status)
def test_a_move_starts_only_where_the_table_allows_it(status: Status, move: Transition) -> None:
    assert (status in sources(move)) == (status in ALLOWED[move][0])


@pytest.mark.parametrize("move", Transition)
def test_a_move_leads_where_the_table_says(move: Transition) -> None:
    assert target(move) is ALLOWED[move][1]


@pytest.mark.parametrize("status", sorted(FINAL))
def test_only_somebody_who_asks_for_it_makes_a_job_leave_a_final_status(status: Status) -> None:
    assert [move for move in Transition if status in sources(move)] == [Transition.REQUEUE, Transition.REQUEUE_SOLO]


@pytest.mark.parametrize("status", sorted(LIVE))
def test_every_live_status_can_be_left_and_reached_again(status: Status) -> None:
    assert [move for move in Transition if status in sources(move)]
    assert [move for move in Transition if target(move) is status]


@pytest.mark.parametrize("status", Status)
def test_a_status_is_final_exactly_if_it_is_an_end(status: Status) -> None:
    assert status.is_final == (status in (Status.DONE, Status.FAILED, Status.CANCELED, Status.TIMEOUT))


def test_the_sets_of_statuses_divide_all_statuses() -> None:
    assert {WAITING, POSTPONED} == QUEUED
    assert {PROCESSING} == RUNNING
    assert LIVE == QUEUED | RUNNING
    assert set(Status) == LIVE | FINAL
    assert not LIVE & FINAL
    assert {Status.DONE} == FINAL - UNSUCCESSFUL


def test_a_status_is_shown_by_its_name() -> None:
    assert [str(status) for status in Status] == [status.label for status in Status]
    assert f"{Status.DONE}" == "done"


# -- the diagram ------------------------------------------------------------------------------------------------------


def diagram() -> str:
    assert lifecycle.__doc__ is not None
    return lifecycle.__doc__.partition("\n\n")[2]


def test_the_diagram_names_every_move_and_every_status_and_nothing_else() -> None:
    drawn = set(re.findall(r"[A-Z][A-Z_]+", diagram()))
    assert drawn == {move.name for move in Transition} | {status.name for status in Status}


# -- after an attempt -------------------------------------------------------------------------------------------------

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


ALWAYS, ON_FAILURE, NEVER = RestartPolicy
AGAIN = Verdict(Transition.RETRY, pause=2, failures=1)
SERVICE_CASES = [
    (Ending.SUCCEEDED, ALWAYS, Verdict(Transition.RETRY, pause=2, failures=0)),
    (Ending.SUCCEEDED, ON_FAILURE, Verdict(Transition.SUCCEED)),
    (Ending.SUCCEEDED, NEVER, Verdict(Transition.SUCCEED)),
    (Ending.FAILED, ALWAYS, AGAIN),
    (Ending.FAILED, ON_FAILURE, AGAIN),
    (Ending.FAILED, NEVER, Verdict(Transition.FAIL)),
    (Ending.TIMED_OUT, ALWAYS, AGAIN),
    (Ending.TIMED_OUT, ON_FAILURE, AGAIN),
    (Ending.TIMED_OUT, NEVER, Verdict(Transition.EXPIRE)),
    (Ending.LOST, ALWAYS, AGAIN),
    (Ending.LOST, ON_FAILURE, AGAIN),
    (Ending.LOST, NEVER, Verdict(Transition.FAIL)),
    (Ending.RETURNED, ALWAYS, Verdict(Transition.RELEASE)),
    (Ending.RETURNED, ON_FAILURE, Verdict(Transition.RELEASE)),
    (Ending.RETURNED, NEVER, Verdict(Transition.FAIL)),
    *((Ending.UNSTARTED, policy, Verdict(Transition.RELEASE)) for policy in RestartPolicy),
]


@pytest.mark.parametrize(("ending", "policy", "verdict"), SERVICE_CASES)
def test_what_follows_a_run_of_a_service(ending: Ending, policy: RestartPolicy, verdict: Verdict) -> None:
    service = Restart(policy, interval=2, longest=60, failures=0, ran=1)
    assert verdict_after(ending, Recurrence(lost=100, retries=100, service=service), MAX_LOST) == verdict


def test_the_cases_cover_every_ending_of_a_service() -> None:
    assert {case[:2] for case in SERVICE_CASES} == {(ending, policy) for ending in Ending for policy in RestartPolicy}


@pytest.mark.parametrize(
    ("failures", "ran", "pause", "then"),
    [(0, 0, 2, 1), (1, 0, 4, 2), (2, 9.9, 8, 3), (3, 0, 10, 4), (10**6, 0, 10, 10**6 + 1), (5, 10, 2, 0)],
)
def test_quick_failures_in_a_row_double_the_pause(failures: int, ran: float, pause: float, then: int) -> None:
    service = Restart(ALWAYS, interval=2, longest=10, failures=failures, ran=ran)
    assert verdict_after(Ending.FAILED, Recurrence(service=service), 3) == Verdict(
        Transition.RETRY, pause=pause, failures=then
    )


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
