"""The status changes of one job, put in order."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.support.tables import table

from taskscheduler import Status
from taskscheduler.operations.history import in_order
from taskscheduler.store.event_log import StatusChange

AT = datetime(2030, 1, 1, tzinfo=UTC)

WAITING, POSTPONED, PROCESSING = Status.WAITING, Status.POSTPONED, Status.PROCESSING
DONE, FAILED, CANCELED = Status.DONE, Status.FAILED, Status.CANCELED


def logged(*changes: tuple[Status, int]) -> list[StatusChange]:
    return [StatusChange(AT, status, attempt, "n") for status, attempt in changes]


@table(
    "changes",
    [
        [],
        [(PROCESSING, 1), (DONE, 1)],
        [(PROCESSING, 1), (POSTPONED, 1), (PROCESSING, 2), (FAILED, 2), (WAITING, 2), (PROCESSING, 3), (DONE, 3)],
        [(PROCESSING, 1), (WAITING, 1), (PROCESSING, 1), (DONE, 1)],  # released before it began, and claimed again
        [(CANCELED, 0)],
        [(DONE, 4)],  # what is left of a log that was overwritten
    ],
)
def test_what_was_logged_in_order_stays_so(changes: list[tuple[Status, int]]) -> None:
    assert in_order(logged(*changes)) == logged(*changes)


@table("end", [DONE, FAILED, CANCELED, Status.TIMEOUT, POSTPONED])
def test_the_start_of_an_attempt_comes_before_its_end(end: Status) -> None:
    swapped = logged((POSTPONED, 1), (end, 2), (PROCESSING, 2))
    assert in_order(swapped) == logged((POSTPONED, 1), (PROCESSING, 2), (end, 2))


def test_a_late_start_passes_everything_that_follows_from_the_end() -> None:
    swapped = logged((PROCESSING, 1), (WAITING, 1), (FAILED, 2), (POSTPONED, 2), (PROCESSING, 2), (PROCESSING, 3))
    wanted = logged((PROCESSING, 1), (WAITING, 1), (PROCESSING, 2), (FAILED, 2), (POSTPONED, 2), (PROCESSING, 3))
    assert in_order(swapped) == wanted
