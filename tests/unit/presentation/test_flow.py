"""How flows and their jobs look: counts, what a job waits for, and what is possible."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bson import ObjectId
from tests.support.flowing import tree_of
from tests.support.tables import table

from taskscheduler import Status
from taskscheduler.flow_state import FlowState
from taskscheduler_daemon.presentation.flow import (
    before,
    counts_of,
    folded,
    hindrance,
    jobs_text,
    node_record,
    percent,
    refusal,
    state_of,
)


def flow(status: str, total: int = 4, **counts: int) -> FlowState:
    return FlowState({"_id": ObjectId(), "name": "f", "status": status, "total": total, "counts": counts})


def test_counts_come_in_the_order_in_which_people_want_to_know_them() -> None:
    running = flow("running", 9, done=3, waiting=2, failed=1, processing=3, strange=7)
    assert list(counts_of(running)) == [Status.FAILED, Status.PROCESSING, Status.WAITING, Status.DONE]
    assert jobs_text(running) == "9 jobs: 1 failed, 3 processing, 2 waiting, 3 done"
    assert jobs_text(flow("done", 1)) == "1 job"


def test_only_a_flow_that_has_ended_is_at_100_percent() -> None:
    assert percent(flow("running", 1000, done=999, waiting=1)) == "99%"
    assert percent(flow("failed", 1000, done=999, failed=1)) == "100%"


def test_a_status_has_a_sign_and_a_word() -> None:
    assert [state_of(flow(status), True) for status in ("running", "done", "failed", "canceled")] == [
        "▶ running",
        "✓ done",
        "✗ failed",
        "⊘ canceled",
    ]
    assert state_of(flow("odd"), False) == "> running"


@table(
    ("counts", "text"),
    [
        ({Status.DONE: 97}, "97 more done"),
        ({Status.DONE: 90, Status.WAITING: 7}, "97 more: 7 waiting, 90 done"),
        ({Status.POSTPONED: 1}, "1 more postponed"),
    ],
)
def test_folded_jobs_are_counted(counts: dict[Status, int], text: str) -> None:
    assert folded(Counter(counts)) == text


def test_a_job_says_what_it_waits_for() -> None:
    statuses = {"c": Status.PROCESSING, "d": Status.WAITING, "e": Status.FAILED}
    tree = tree_of(
        {**dict.fromkeys("abcde", ()), "one": ["c"], "many": [*"abcde"], "gone": ["a"], "ran": ["a", "b"]},
        **statuses, one=Status.POSTPONED, many=Status.POSTPONED, gone=Status.CANCELED,
    )  # fmt: skip
    texts = {node.label: before(node) for node in tree.nodes}
    assert texts["one"] == "waits for c"
    assert texts["many"] == "waits for 2 of 5: c, d"
    assert texts["ran"] == "after a, b"
    assert (texts["gone"], texts["a"]) == ("", "")


def test_many_jobs_before_are_not_all_named_and_long_names_are_cut() -> None:
    tree = tree_of({"a": [], "b": [], "c": [], "x": ["a", "b", "c"]})
    assert before(tree.nodes[-1]) == "after a, b and 1 more"
    tree = tree_of({"W" * 200: [], "x": ["W" * 200]})
    assert before(tree.nodes[-1]) == f"after {'W' * 60}..."


def test_the_record_of_a_job_stays_small_whatever_comes_before_it() -> None:
    labels = [f"p{n}" for n in range(500)]
    record = node_record(tree_of({**dict.fromkeys(labels, ()), "end": labels}).nodes[-1])
    assert (len(record["after"]), record["after_count"], record["layer"]) == (10, 500, 1)


@table(
    ("action", "state", "counts", "hinders"),
    [
        ("cancel", "running", {}, False),
        ("cancel", "done", {}, True),
        ("retry", "running", {"failed": 1, "waiting": 1}, False),
        ("retry", "failed", {"timeout": 2}, False),
        ("retry", "done", {"done": 2}, True),
    ],
)
def test_what_is_possible(action: str, state: str, counts: dict[str, Any], hinders: bool) -> None:
    found = flow(state, **counts)
    assert bool(hindrance(action, found)) is hinders
    assert refusal(action, found)
