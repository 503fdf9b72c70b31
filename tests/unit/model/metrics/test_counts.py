"""How an attempt counts, and for how many names there is room."""

from __future__ import annotations

from bson import Code
from tests.support.tables import table

from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.metrics.counts import (
    EVERYTHING_ELSE,
    MOST_SERIES,
    OTHER,
    OUTCOMES,
    Counts,
    Room,
    Sample,
    Series,
    series_of,
)

MAIL = Series("Mail", "default")


@table(
    ("ending", "status", "outcome"),
    [
        (Ending.SUCCEEDED, Status.DONE, "done"),
        (Ending.FAILED, Status.FAILED, "failed"),
        (Ending.TIMED_OUT, Status.TIMEOUT, "timeout"),
        (Ending.TIMED_OUT, Status.POSTPONED, "retried"),
        (Ending.FAILED, Status.WAITING, "retried"),
        (Ending.LOST, Status.FAILED, "failed"),
        (Ending.LOST, Status.WAITING, "lost"),
        (Ending.SUSPECTED, Status.WAITING, "lost"),
        (Ending.RETURNED, Status.WAITING, "returned"),
        (Ending.SNOOZED, Status.POSTPONED, "snoozed"),
        (Ending.RETURNED, Status.CANCELED, "canceled"),
    ],
)
def test_outcomes(ending: Ending, status: Status, outcome: str) -> None:
    assert Sample(MAIL, ending, status=status).outcome == outcome


def test_every_ending_has_an_outcome() -> None:
    found = {Sample(MAIL, ending, status=status).outcome for ending in Ending for status in Status}
    assert found == set(OUTCOMES)


def test_attempts_jobs_and_failures_are_counted_apart() -> None:
    counts = Counts()
    for status in (Status.DONE, Status.FAILED, Status.TIMEOUT, Status.CANCELED, Status.POSTPONED):
        counts.add(Sample(MAIL, Ending.FAILED, 1.0, None, status))
    assert (counts.attempts, counts.ended, counts.failures) == (5, 4, 2)
    assert (counts.wait.count, counts.run.count) == (5, 0)


@table(
    ("job", "series"),
    [
        ({"class": "Mail", "queue": "default"}, MAIL),
        ({}, EVERYTHING_ELSE),
        ({"class": Code("Mail"), "queue": 5}, EVERYTHING_ELSE),
    ],
)
def test_the_series_of_a_stored_job(job: dict[str, object], series: Series) -> None:
    assert series_of(job) == series


def test_a_node_of_ten_thousand_queues_tells_two_hundred_apart() -> None:
    room = Room()
    places = {room.place(Series(f"Job{number % 3}", f"queue-{number}")) for number in range(10_000)}
    assert len(places) <= MOST_SERIES
    assert {Series(f"Job{number}", OTHER) for number in range(3)} <= places, "classes are told apart to the end"


def test_a_node_of_ten_thousand_classes_counts_most_as_others() -> None:
    room = Room()
    places = [room.place(Series(f"Job{number}", "default")) for number in range(10_000)]
    assert len(set(places)) <= MOST_SERIES + 1
    assert places[-1] == EVERYTHING_ELSE
    assert places[0] == room.place(Series("Job0", "default")) == Series("Job0", "default")


@table("name", ["x" * 201, "a\nb", "a\0b", "\udc80"])
def test_names_that_nobody_has_chosen_count_as_others(name: str) -> None:
    assert Room().place(Series(name, "default")) == Series(OTHER, "default")
