"""Queries of users: how they are narrowed to statuses, and split so that indexes serve them."""

from __future__ import annotations

from typing import Any

from bson import MinKey
from tests.support.tables import table

from taskscheduler.model.lifecycle import FINAL, LIVE, Status
from taskscheduler.store.selections.search import by_status, narrowed, wanted

DONE = frozenset({Status.DONE})


@table(
    ("query", "statuses"),
    [
        ({}, None),
        ({"status": 4}, {Status.FAILED}),
        ({"status": {"$in": [4, 6]}}, {Status.FAILED, Status.TIMEOUT}),
        ({"status": {"$gt": 3}}, None),
        ({"status": {"$in": [None]}}, None),
    ],
)
def test_the_statuses_of_a_query_are_known_if_it_names_them(
    query: dict[str, Any], statuses: set[Status] | None
) -> None:
    assert wanted(query) == (None if statuses is None else frozenset(statuses))


def test_a_query_is_narrowed_to_statuses() -> None:
    assert narrowed({"class": "a"}, DONE) == {"class": "a", "status": {"$in": [3]}}
    assert narrowed({"status": {"$in": [0, 3]}}, DONE) == {"status": {"$in": [3]}}
    assert narrowed({"status": 0}, DONE) == {"status": {"$in": []}}
    assert narrowed({"status": {"$gt": 1}}, DONE) == {"$and": [{"status": {"$gt": 1}}, {"status": {"$in": [3]}}]}


def test_a_query_is_split_by_the_statuses_that_share_an_index() -> None:
    live = {"class": {"$gte": MinKey()}, "x": 1, "status": {"$in": sorted(map(int, LIVE))}}
    assert by_status({"x": 1}) == [live, {"x": 1, "status": {"$in": [4, 5, 6]}}, {"x": 1, "status": {"$in": [3]}}]
    ended = by_status(narrowed({"class": "a"}, FINAL))
    assert ended == [{"class": "a", "status": {"$in": [4, 5, 6]}}, {"class": "a", "status": {"$in": [3]}}]
    assert by_status({"class": "a", "status": 2}) == [{"class": "a", "status": {"$in": [2]}}]
    assert by_status({"status": {"$gt": 1}}) == [{"status": {"$gt": 1}}]


def test_live_jobs_of_a_sequence_have_a_turn() -> None:
    live, *ended = by_status({"sequence": "a"})
    assert live["turn"] == {"$exists": True}
    assert all("turn" not in part for part in ended)
    assert all("turn" not in part for part in by_status({"sequence": {"$exists": False}}))
