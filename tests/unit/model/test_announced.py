"""Announced: each step of a job once and in order, whoever brings it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler.model.announced import Announced, place
from taskscheduler.model.lifecycle import Status

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(status: Status, attempt: int, **fields: Any) -> dict[str, Any]:
    return {"_id": 1, "status": int(status), "attempt": attempt, **fields}


def failed(attempt: int, retried: bool = True) -> dict[str, Any]:
    return job(Status.FAILED, attempt, **({"rearmed": f"{attempt}:failed"} if retried else {}))


def names(found: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(Status(one["status"]).label, one["attempt"]) for one in found]


LIFE = [
    job(Status.POSTPONED, 0),
    job(Status.WAITING, 0),
    job(Status.PROCESSING, 1),
    failed(1),
    job(Status.POSTPONED, 1),
    job(Status.WAITING, 1),
    job(Status.PROCESSING, 2),
    job(Status.TIMEOUT, 2, rearmed="2:timeout"),
    job(Status.WAITING, 2),
    job(Status.PROCESSING, 3),
    job(Status.DONE, 3, rearmed="2:timeout"),
]


def test_the_steps_of_a_life_stand_in_its_order() -> None:
    places = [place(one) for one in LIFE]
    assert places == sorted(places, key=lambda one: one or (0, 0))
    assert len(set(places)) == len(LIFE)


def test_what_two_bring_is_announced_once() -> None:
    announced = Announced()
    assert [names(announced.due(one)) for one in LIFE for _ in range(2)] == [
        found for one in LIFE for found in (names([one]), [])
    ]


@table("behind", range(1, len(LIFE)))
def test_one_who_is_behind_adds_nothing(behind: int) -> None:
    announced, heard = Announced(), list[Any]()
    for number, one in enumerate(LIFE):
        heard += names(announced.due(one))
        if number >= behind:
            heard += names(announced.due(LIFE[number - behind]))
    assert heard == names(LIFE)


@table("skipped", range(len(LIFE) - 1))
def test_what_nobody_saw_of_a_followed_job_is_made_up_for(skipped: int) -> None:
    announced, heard = Announced(), list[Any]()
    announced.follow(job(Status.POSTPONED, 0))
    last = LIFE[-1] | {
        "attempts": [{"attempt": 1, "status": 4, "error": {"message": "a"}}, {"attempt": 2, "status": 6}],
        "options": {"retry_interval": 0},
    }
    for one in LIFE[1 : skipped + 1]:
        heard += names(announced.due(one))
    heard += names(announced.due(last))
    assert heard == [one for one in names(LIFE)[1:] if one != ("postponed", 1)] or skipped >= 4
    assert [one for one in heard if one != ("postponed", 1)] == [
        one for one in names(LIFE)[1:] if one[0] != "postponed"
    ]


def test_a_pause_before_a_retry_is_made_up_for() -> None:
    announced = Announced()
    announced.follow(job(Status.WAITING, 0))
    stored = job(Status.DONE, 2, attempts=[{"attempt": 1, "status": 4, "error": 7}], options={"retry_interval": 5})
    found = announced.due(stored)
    assert names(found) == [
        ("processing", 1), ("failed", 1), ("postponed", 1), ("waiting", 1), ("processing", 2), ("done", 2)
    ]  # fmt: skip
    assert found[1]["error"] == 7


def test_a_pause_of_the_attempt_itself_and_a_snooze_are_made_up_for() -> None:
    announced = Announced()
    announced.follow(job(Status.WAITING, 0))
    attempts = [{"attempt": 1, "status": 4, "pause": 0}, {"attempt": 2, "status": 1}]
    stored = job(Status.DONE, 3, attempts=attempts, options={"retry_interval": 5})
    assert names(announced.due(stored)) == [
        ("processing", 1), ("failed", 1), ("waiting", 1), ("processing", 2), ("postponed", 2), ("waiting", 2),
        ("processing", 3), ("done", 3),
    ]  # fmt: skip


def test_a_job_that_became_due_is_announced_although_it_was_read_in_its_next_attempt() -> None:
    announced = Announced()
    for one in (job(Status.POSTPONED, 1), job(Status.WAITING, 2), job(Status.PROCESSING, 2)):
        assert len(announced.due(one)) == 1


def test_an_attempt_that_was_lost_has_no_end() -> None:
    announced = Announced()
    announced.follow(job(Status.WAITING, 0))
    stored = job(Status.PROCESSING, 2, attempts=[{"attempt": 1, "status": None}])
    assert names(announced.due(stored)) == [("processing", 1), ("waiting", 1), ("processing", 2)]


def test_nothing_is_made_up_for_who_does_not_follow() -> None:
    announced = Announced()
    announced.due(job(Status.WAITING, 0))
    assert names(announced.due(job(Status.DONE, 1))) == [("done", 1)]
    assert names(announced.due(job(Status.PROCESSING, 1))) == []


def test_a_job_that_never_ran_is_cancelled_without_an_attempt() -> None:
    announced = Announced()
    announced.follow(job(Status.WAITING, 0))
    assert names(announced.due(job(Status.CANCELED, 0))) == [("canceled", 0)]


def test_what_was_handed_back_unstarted_is_not_announced_again() -> None:
    announced = Announced()
    for one in (job(Status.WAITING, 0), job(Status.PROCESSING, 1)):
        announced.due(one)
    for _ in range(3):
        assert announced.due(job(Status.WAITING, 0)) == []
        assert announced.due(job(Status.PROCESSING, 1)) == []
    assert names(announced.due(job(Status.CANCELED, 0))) == [("canceled", 0)]
    assert announced.due(job(Status.CANCELED, 0)) == []


def test_a_job_that_is_put_back_into_the_queue_has_a_second_life() -> None:
    announced = Announced()
    first = [job(Status.WAITING, 0), job(Status.CANCELED, 0)]
    again = job(Status.WAITING, 0, at=NOW)
    assert [names(announced.due(one)) for one in first] == [names([one]) for one in first]
    assert announced.due(first[0]) == []  # brought by one who is behind
    assert names(announced.due(again, requeued=True)) == [("waiting", 0)]
    assert announced.due(again, requeued=True) == []
    assert names(announced.due(job(Status.CANCELED, 0))) == [("canceled", 0)]
    assert announced.due(again, requeued=True) == []
    later = job(Status.WAITING, 0, at=NOW + timedelta(seconds=1))
    assert names(announced.due(later, requeued=True)) == [("waiting", 0)]


def test_another_job_with_the_id_of_a_deleted_one_is_a_new_one() -> None:
    announced, later = Announced(), NOW + timedelta(seconds=1)
    added = job(Status.WAITING, 0, created=NOW + timedelta(microseconds=7))
    first = [job(Status.WAITING, 0, created=NOW), job(Status.PROCESSING, 1, created=NOW)]
    second = [job(Status.WAITING, 0, created=later), job(Status.DONE, 1, created=later)]
    assert [names(announced.due(one)) for one in first + second] == [names([one]) for one in first + second]
    assert [announced.due(one) for one in second] == [[], []]
    assert announced.due(added) == []


def test_what_was_known_when_the_wait_began_is_not_announced() -> None:
    announced = Announced()
    announced.due(job(Status.WAITING, 0))
    announced.follow(job(Status.PROCESSING, 1))
    announced.follow(job(Status.WAITING, 0))
    assert names(announced.due(job(Status.DONE, 1))) == [("done", 1)]


def test_progress_is_announced_once_and_not_after_the_end() -> None:
    announced, half = Announced(), job(Status.PROCESSING, 1, progress=50.0)
    assert [announced.is_due(half), announced.is_due(half)] == [True, False]
    assert announced.is_due({**half, "progress": 60.0})
    announced.due(job(Status.DONE, 1))
    assert not announced.is_due({**half, "progress": 70.0})


@table(
    "odd", [{"status": 99}, {"attempt": "1"}, {"attempts": 7}, {"attempts": [3, {"attempt": "x"}]}, {"options": None}]
)
def test_an_odd_document_is_announced_as_it_is(odd: dict[str, Any]) -> None:
    announced = Announced()
    announced.follow(job(Status.WAITING, 0) | odd)
    assert announced.due(job(Status.DONE, 1) | odd)[-1] == job(Status.DONE, 1) | odd


def test_the_oldest_jobs_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskscheduler.model.announced._MOST_JOBS", 2)
    announced = Announced()
    for number in range(3):
        announced.due(job(Status.WAITING, 0) | {"_id": number})
    assert [len(announced.due(job(Status.WAITING, 0) | {"_id": number})) for number in (1, 2, 0)] == [0, 0, 1]
