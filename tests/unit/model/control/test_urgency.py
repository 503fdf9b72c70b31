"""Which jobs a message names as urgent, and what is read of such a message."""

from __future__ import annotations

from typing import Any

from bson import ObjectId
from tests.support.tables import table

from taskscheduler.model.control.urgency import (
    MOST_NAMED,
    UrgentJob,
    read_urgent,
    urgent_among,
    urgent_and_waiting,
    urgent_part,
)
from taskscheduler.model.lifecycle import Status


def stored(priority: Any = 1, **fields: Any) -> dict[str, Any]:
    options = {"force_spawn": False}
    return {"_id": ObjectId(), "queue": "mail", "priority": priority, "status": 0, "options": options, **fields}


@table(
    ("job", "urgent"),
    [
        (stored(), True),
        (stored(priority=0), False),
        (stored(priority=-1), False),
        (stored(priority="high"), False),
        (stored(options={"force_spawn": True}), False),
        (stored(options=7), True),
        (stored(**{"async": True}), False),
        (stored(batch={"size": 2}), False),
    ],
)
def test_jobs_of_a_high_priority_are_urgent_if_they_take_a_slot(job: dict[str, Any], urgent: bool) -> None:
    assert urgent_among([job]) == ([UrgentJob(job["_id"], "mail", 1)] if urgent else [])


def test_jobs_that_are_postponed_are_not_urgent_yet() -> None:
    now, later = stored(), stored(status=int(Status.POSTPONED))
    assert [job.job_id for job in urgent_and_waiting([later, now])] == [now["_id"]]


def test_a_message_names_the_most_urgent_ones_in_claim_order() -> None:
    first, second, third = (UrgentJob(ObjectId(), "mail", priority) for priority in (1, 3, 1))
    assert read_urgent(urgent_part([first, second, third])) == [second, first, third]
    many = [UrgentJob(ObjectId(), "mail", 1) for _ in range(MOST_NAMED)]
    assert read_urgent(urgent_part([*many, second])) == [second, *many[:-1]]


def test_a_message_says_which_ones_are_being_stored() -> None:
    stored, coming = UrgentJob(ObjectId(), "mail", 2), UrgentJob(ObjectId(), "mail", 1, coming=True)
    assert read_urgent(urgent_part([stored, coming])) == [stored, coming]
    assert "coming" not in urgent_part([stored])[0]


def test_whatever_stands_in_a_message_can_be_read() -> None:
    proper: dict[str, Any] = {"job": ObjectId(), "queue": "mail", "priority": 1}
    odd = [7, None, {}, {**proper, "job": "a"}, {**proper, "queue": None}, {**proper, "priority": True}, proper]
    assert read_urgent([*odd, {**proper, "coming": "yes"}]) == [UrgentJob(proper["job"], "mail", 1)] * 2
    others: list[Any] = [None, 7, {}, "text"]
    assert [read_urgent(value) for value in others] == [[], [], [], []]
