"""When a service is started again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.tables import table

from taskscheduler.model.lifecycle import Ending, Transition, Verdict
from taskscheduler.model.retries import Recurrence, verdict_after
from taskscheduler.model.services import Restart, RestartPolicy, ServiceOptions, restart_of, seconds_alive

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
    (Ending.SUSPECTED, ALWAYS, AGAIN),
    (Ending.SUSPECTED, ON_FAILURE, AGAIN),
    (Ending.SUSPECTED, NEVER, Verdict(Transition.FAIL)),
    (Ending.RETURNED, ALWAYS, Verdict(Transition.RELEASE)),
    (Ending.RETURNED, ON_FAILURE, Verdict(Transition.RELEASE)),
    (Ending.RETURNED, NEVER, Verdict(Transition.FAIL)),
    (Ending.SNOOZED, ALWAYS, AGAIN),
    (Ending.SNOOZED, ON_FAILURE, AGAIN),
    (Ending.SNOOZED, NEVER, Verdict(Transition.FAIL)),
    *((Ending.UNSTARTED, policy, Verdict(Transition.RELEASE)) for policy in RestartPolicy),
]


@table(("ending", "policy", "verdict"), SERVICE_CASES)
def test_what_follows_a_run_of_a_service(ending: Ending, policy: RestartPolicy, verdict: Verdict) -> None:
    service = Restart(policy, interval=2, longest=60, failures=0, ran=1)
    assert verdict_after(ending, Recurrence(lost=100, retries=100, service=service), max_lost=3) == verdict


def test_the_cases_cover_every_ending_of_a_service() -> None:
    assert {case[:2] for case in SERVICE_CASES} == {(ending, policy) for ending in Ending for policy in RestartPolicy}


@table(
    ("failures", "ran", "pause", "then"),
    [(0, 0, 2, 1), (1, 0, 4, 2), (2, 9.9, 8, 3), (3, 0, 10, 4), (10**6, 0, 10, 10**6 + 1), (5, 10, 2, 0)],
)
def test_quick_failures_in_a_row_double_the_pause(failures: int, ran: float, pause: float, then: int) -> None:
    service = Restart(ALWAYS, interval=2, longest=10, failures=failures, ran=ran)
    assert verdict_after(Ending.FAILED, Recurrence(service=service), 3) == Verdict(
        Transition.RETRY, pause=pause, failures=then
    )


def test_the_document_of_a_service_tells_when_it_is_started_again() -> None:
    stored = ServiceOptions.of({"name": "feed", "restart": "on-failure", "restart_interval": 3}).stored()
    assert restart_of({"service": {**stored, "failures": 4}}, 1.5) == Restart(ON_FAILURE, 3, 60, 4, 1.5)
    assert restart_of({"class": "mail"}, 1.5) is None


BEGUN = datetime(2030, 1, 1, tzinfo=UTC)


@table(
    ("started", "alive", "seconds"),
    [
        (BEGUN, BEGUN + timedelta(seconds=7.5), 7.5),
        (BEGUN, BEGUN - timedelta(seconds=1), 0),
        (None, BEGUN, 0),
        (BEGUN, None, 0),
    ],
)
def test_an_attempt_has_run_until_its_last_sign_of_life(started: Any, alive: Any, seconds: float) -> None:
    assert seconds_alive({"started": started, "alive": alive}) == seconds
