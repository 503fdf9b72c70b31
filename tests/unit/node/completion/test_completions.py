"""What is written for the reported end of an attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId
from tests.unit.node.fakes import WORKER, attempt, report

from taskscheduler.model.lifecycle import Ending, Status, Transition, Verdict
from taskscheduler.store.attempts.completion import Again
from taskscheduler_daemon.node.completion.completer import completion_of_report

ERROR = {"type": "ValueError", "message": "no"}


def test_success_stores_the_result() -> None:
    one = attempt()
    completion = completion_of_report(one, report(one, Ending.SUCCEEDED, result={"x": 1}, said={"message": "m"}), 3)
    assert (completion.fence, completion.verdict, completion.result) == (
        one.fence,
        Verdict(Transition.SUCCEED),
        {"x": 1},
    )
    assert (completion.progress, completion.effects, completion.error) == ({"message": "m"}, (), None)
    assert completion.worker == str(WORKER)


def test_a_success_in_a_series_owes_the_next_run() -> None:
    series = ObjectId()
    one = attempt(options={"interval": 5, "interval_reference": "start"}, series=series, seq=4)
    completion = completion_of_report(one, report(one, Ending.SUCCEEDED, result=7), 3)
    assert (completion.verdict, completion.effects) == (Verdict(Transition.SUCCEED, plans_next=True), ("next",))
    assert (completion.series, completion.interval, completion.interval_reference) == ((series, 4), 5, "start")
    assert completion.result == 7


def test_a_success_with_a_hook_owes_it() -> None:
    one = attempt(hook=True)
    assert completion_of_report(one, report(one, Ending.SUCCEEDED), 3).effects == ("hook",)


@pytest.mark.parametrize(
    ("ending", "move", "ended_as"),
    [(Ending.FAILED, Transition.FAIL, Status.FAILED), (Ending.TIMED_OUT, Transition.EXPIRE, Status.TIMEOUT)],
)
def test_a_failure_owes_its_family_and_stores_its_error(ending: Ending, move: Transition, ended_as: Status) -> None:
    one = attempt(hook=True)
    completion = completion_of_report(one, report(one, ending, error=ERROR), 3)
    assert (completion.verdict.move, completion.ended_as, completion.effects) == (move, ended_as, ("family", "hook"))
    assert (completion.error, completion.lost, completion.unstarted) == (ERROR, False, False)


def test_a_failure_that_is_retried_owes_nothing() -> None:
    one = attempt(options={"retry": 1, "retry_interval": 9, "interval": 5}, hook=True)
    completion = completion_of_report(one, report(one, Ending.FAILED, error=ERROR), 3)
    assert (completion.verdict, completion.effects, completion.retry_interval) == (Verdict(Transition.RETRY), (), 9)


def test_the_last_failure_of_a_run_in_a_series_owes_the_next_run_and_its_family() -> None:
    one = attempt(options={"retry": 1, "interval": 5}, retries=1, series=ObjectId(), seq=0)
    assert completion_of_report(one, report(one, Ending.FAILED, error=ERROR), 3).effects == ("next", "family")


def test_a_lost_worker_counts_and_is_no_retry() -> None:
    one = attempt(options={"retry": 1})
    completion = completion_of_report(one, report(one, Ending.LOST, error=ERROR), 3)
    assert (completion.verdict.move, completion.lost, completion.error) == (Transition.RELEASE, True, ERROR)


def test_a_job_that_lost_too_many_workers_is_set_aside_with_the_reason() -> None:
    one = attempt(lost=2)
    completion = completion_of_report(one, report(one, Ending.LOST, error={**ERROR, "signal": 9}), 3)
    assert (completion.verdict.move, completion.effects) == (
        Transition.POISON,
        ("family", "hook"),
    )  # nobody knows whether it has one
    assert completion.error == {"type": "PoisonedJobError", "message": "its worker died 3 times; no", "signal": 9}


def test_a_job_that_never_began_gives_its_number_back() -> None:
    one = attempt()
    completion = completion_of_report(one, report(one, Ending.UNSTARTED), 3)
    assert (completion.verdict.move, completion.unstarted, completion.lost, completion.worker) == (
        Transition.RELEASE,
        True,
        False,
        None,
    )


def test_a_job_that_was_handed_back_is_neither_lost_nor_failed() -> None:
    one = attempt(lost=2, options={"retry": 1})
    completion = completion_of_report(one, report(one, Ending.RETURNED), 3)
    assert (completion.verdict.move, completion.unstarted, completion.lost, completion.effects) == (
        Transition.RELEASE,
        False,
        False,
        (),
    )


# -- what the job or its options say about the next try ---------------------------------------------------------------


def test_a_job_that_snoozes_is_postponed_uncharged() -> None:
    one = attempt(options={"retry": 1, "interval": 5}, retries=1, hook=True)
    completion = completion_of_report(one, report(one, Ending.SNOOZED, after=60, reason="quota"), 3)
    assert (completion.verdict, completion.retry_interval) == (Verdict(Transition.SNOOZE, pause=60), 60)
    assert (completion.effects, completion.lost, completion.error, completion.reason) == ((), False, None, "quota")


def test_what_the_job_says_decides_about_its_retry() -> None:
    one = attempt(options={"retry": 5, "retry_interval": 9})
    asked = completion_of_report(one, report(one, Ending.FAILED, error=ERROR, after=60), 3)
    assert (asked.verdict.move, asked.retry_interval) == (Transition.RETRY, 60)
    final = completion_of_report(one, report(one, Ending.FAILED, error=ERROR, final="discard_on names its error"), 3)
    assert final.verdict.move is Transition.FAIL
    assert final.error == {**ERROR, "no_retry": "discard_on names its error"}


def test_a_draw_is_the_same_for_whoever_writes_the_end_and_another_one_for_the_next_attempt() -> None:
    one = attempt(options={"retry": 5, "retry_interval": 100, "jitter": 1})
    pauses = [completion_of_report(one, report(one, Ending.FAILED, error=ERROR), 3).retry_interval for _ in range(2)]
    assert pauses[0] == pauses[1]
    one.fence = one.fence._replace(attempt=2)
    assert completion_of_report(one, report(one, Ending.FAILED, error=ERROR), 3).retry_interval != pauses[0]


@pytest.mark.parametrize(("seconds", "move"), [(59, Transition.RETRY), (61, Transition.FAIL)])
def test_the_time_for_retries_counts_from_the_first_start(seconds: float, move: Transition) -> None:
    first = datetime(2030, 1, 1, tzinfo=UTC)
    options = {"retry": -1, "retry_interval": 10, "retry_for": 70}
    one = attempt(options=options, first_started=first, expires=first + timedelta(seconds=70))
    ended = first.timestamp() + seconds
    completion = completion_of_report(one, report(one, Ending.FAILED, error=ERROR), 3, ended)
    assert completion.verdict.move is move
    assert completion.again == Again(retry_for=70)


def test_a_job_without_a_limit_says_nothing_about_one() -> None:
    one = attempt(options={"retry": 1})
    assert completion_of_report(one, report(one, Ending.FAILED, error=ERROR), 3).again is None
    limited = attempt(options={"start_by": 60}, expires=datetime(2030, 1, 1, tzinfo=UTC))
    returned = report(limited, Ending.RETURNED, reason="its node stopped", begun=False)
    assert completion_of_report(limited, returned, 3).again == Again(begun=False)
