"""Stored counts are added up; what is none of them is left out, and takes nothing with it."""

from __future__ import annotations

from tests.support.tables import table

from taskscheduler.model.metrics.histogram import Histogram
from taskscheduler.model.metrics.sums import StoredSum


def total(*entries: object) -> StoredSum:
    found = StoredSum()
    for entry in entries:
        found.add(entry)
    return found


@table(
    ("buckets", "seconds", "expected"),
    [
        ({"0": 2, "20": 1}, 7.5, Histogram([2, *[0] * 19, 1], 7.5)),
        ({"0": 2, "21": 1, "x": 3, "1": -1, "2": "3", "3": True}, float("nan"), Histogram([2, *[0] * 20], 0.0)),
        ([1, 2], "much", Histogram()),
        (None, None, Histogram()),
    ],
)
def test_what_is_stored_and_is_no_count_is_left_out(buckets: object, seconds: object, expected: Histogram) -> None:
    assert total({"run": buckets, "run_sum": seconds}).counts().run == expected
    assert total({"run": {"4": 1}}, {"wait": buckets, "wait_sum": seconds}).counts().wait == expected


def test_counts_are_added_up() -> None:
    entries = ({"done": 2, "failed": 1, "wait": {"3": 1}}, {"done": 5, "lost": 1, "wait": {"3": 2, "4": 1}})
    found = total(*entries, {"done": -1, "failed": True, "timeout": "2", "lost": 0.5, "other": 7}, None, [1]).counts()
    assert {name: count for name, count in found.outcomes.items() if count} == {"done": 7, "failed": 1, "lost": 1}
    assert found.wait.buckets[:6] == [0, 0, 0, 3, 1, 0]
