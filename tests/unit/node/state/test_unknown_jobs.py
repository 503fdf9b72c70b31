"""Which classes a node leaves to others, and which jobs nobody knows."""

from __future__ import annotations

from typing import Any

from bson import ObjectId
from tests.support.tables import table

from taskscheduler_daemon.node.state.unknown_jobs import LEFT_ALONE, UnknownJobs, known_nowhere

JOB, BOOT = ObjectId(), ObjectId()


def test_a_class_is_left_alone_for_a_while() -> None:
    unknown = UnknownJobs(3600)
    assert unknown.left_to_others(JOB, "new", 100.0)
    assert unknown.names(100.0) == unknown.names(100.0 + LEFT_ALONE - 1) == ["new"]
    assert unknown.names(100.0 + LEFT_ALONE) == []


def test_what_new_workers_may_know_is_left_to_nobody() -> None:
    unknown = UnknownJobs(3600)
    unknown.left_to_others(JOB, "new", 100.0)
    unknown.forget()
    assert unknown.names(100.0) == []


def test_a_job_that_was_expected_to_fail_does_so_once() -> None:
    unknown = UnknownJobs(3600)
    unknown.expect_to_fail([JOB])
    assert not unknown.left_to_others(JOB, "new", 0.0)
    assert unknown.left_to_others(JOB, "new", 0.0), "somebody has retried it"


def node(queues: list[str] | None = None, unknown: list[str] | None = None, **facts: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "silent": 1.0,
        "lease": 30.0,
        "queues": queues or [],
        **({} if unknown is None else {"unknown": unknown}),
        **facts,
    }


@table(
    ("others", "nowhere"),
    [
        ([], True),
        ([node(unknown=["new"])], True),
        ([node(unknown=["old"])], False),  # it may know this one, and be busy
        ([node(jobs=["old"])], True),  # it has been too busy to meet it
        ([node(jobs=["old"]), node(jobs=["new"])], False),
        ([node(unknown=["new"]), node(unknown=[])], False),
        ([node()], False),  # of a version that says nothing
        ([node(queues=["other"])], True),
        ([node(queues=["default"])], False),
        ([node(silent=31.0)], True),
        ([node(lost=True)], True),
        ([node(_id=BOOT)], True),  # this node has found out itself
    ],
)
def test_a_job_is_known_nowhere_if_every_live_node_of_its_queue_says_so(
    others: list[dict[str, Any]], nowhere: bool
) -> None:
    job = {"_id": JOB, "class": "new", "queue": "default"}
    assert known_nowhere([job], others, BOOT) == ([JOB] if nowhere else [])
