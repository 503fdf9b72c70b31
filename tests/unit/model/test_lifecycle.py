"""The statuses of a job and the table of transitions between them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.support.tables import table

from taskscheduler.model import lifecycle
from taskscheduler.model.lifecycle import (
    FINAL,
    LIVE,
    QUEUED,
    RUNNING,
    TRANSITIONS,
    UNSUCCESSFUL,
    Status,
    Transition,
    sources,
    target,
)

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
    Transition.SNOOZE: ({PROCESSING}, POSTPONED),
    Transition.RELEASE: ({PROCESSING}, WAITING),
    Transition.POISON: ({PROCESSING}, Status.FAILED),
    Transition.CANCEL: ({WAITING, POSTPONED, PROCESSING}, Status.CANCELED),
    Transition.FAIL_PARENT: ({WAITING, POSTPONED, PROCESSING}, Status.FAILED),
    Transition.CANCEL_LATE: ({WAITING, POSTPONED}, Status.CANCELED),
    Transition.FAIL_LATE: ({WAITING, POSTPONED}, Status.FAILED),
    Transition.EXPIRE_LATE: ({WAITING, POSTPONED}, Status.TIMEOUT),
    Transition.REFUSE: ({WAITING, POSTPONED, PROCESSING}, Status.FAILED),
    Transition.REQUEUE: ({Status.DONE, Status.FAILED, Status.CANCELED, Status.TIMEOUT}, WAITING),
    Transition.REQUEUE_CONTROLLED: ({Status.DONE, Status.FAILED, Status.CANCELED, Status.TIMEOUT}, POSTPONED),
    Transition.REQUEUE_LATER: ({Status.DONE, Status.FAILED, Status.CANCELED, Status.TIMEOUT}, POSTPONED),
    Transition.POSTPONE: ({WAITING, POSTPONED}, POSTPONED),
    Transition.DEFER: ({PROCESSING}, POSTPONED),
    Transition.PARK: ({WAITING}, POSTPONED),
    Transition.UNPARK: ({POSTPONED}, WAITING),
    Transition.TAKE_TURN: ({POSTPONED}, PROCESSING),
    Transition.FOLLOW: ({POSTPONED}, PROCESSING),
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


@table("move", Transition)
@table("status", Status)
def test_a_move_starts_only_where_the_table_allows_it(status: Status, move: Transition) -> None:
    assert (status in sources(move)) == (status in ALLOWED[move][0])


@table("move", Transition)
def test_a_move_leads_where_the_table_says(move: Transition) -> None:
    assert target(move) is ALLOWED[move][1]


@table("status", sorted(FINAL))
def test_only_somebody_who_asks_for_it_makes_a_job_leave_a_final_status(status: Status) -> None:
    assert [move for move in Transition if status in sources(move)] == [
        Transition.REQUEUE,
        Transition.REQUEUE_CONTROLLED,
        Transition.REQUEUE_LATER,
    ]


@pytest.mark.parametrize("status", sorted(LIVE))
def test_every_live_status_can_be_left_and_reached_again(status: Status) -> None:
    assert [move for move in Transition if status in sources(move)]
    assert [move for move in Transition if target(move) is status]


@table("status", Status)
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


@table("value", [99, -1, 7, 2**40, "done", None, 1.5, [], {}])
def test_what_is_no_status_is_shown_as_unreadable(value: Any) -> None:
    status = Status(value)
    assert (status.label, str(status), status.is_final) == ("unreadable", "unreadable", False)
    assert status not in {*LIVE, *FINAL}
    assert status not in list(Status)
    assert int(status) == (value if isinstance(value, int) else -1)
