"""Queries that are judged here; the integration tests compare the answers with those of a server."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from bson import Decimal128, ObjectId
from tests.support.tables import table

from taskscheduler.model.matching import condition

ID = ObjectId()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DOCUMENT = {
    "_id": ID,
    "class": "mail",
    "status": 2,
    "started": None,
    "created": NOW,
    "flag": True,
    "tags": ["a", "b"],
    "data": {"n": 5, "list": [{"x": 1}, {"x": 2}, 7], "price": Decimal128("1.5"), "none": None},
}


@table(
    ("query", "holds"),
    [
        ({}, True),
        ({"_id": ID}, True),
        ({"class": "mail", "status": 2}, True),
        ({"class": "mail", "status": 3}, False),
        ({"status": {"$gt": 1, "$lt": 3}}, True),
        ({"status": {"$gte": 3}}, False),
        ({"status": {"$lte": 2.0}}, True),
        ({"status": {"$gt": "1"}}, False),
        ({"flag": 1}, False),
        ({"flag": {"$in": [True, "x"]}}, True),
        ({"started": None}, True),
        ({"missing": None}, True),
        ({"started": {"$exists": True}}, True),
        ({"missing": {"$exists": False}}, True),
        ({"missing": {"$gt": 0}}, False),
        ({"missing": {"$ne": 3}}, True),
        ({"tags": "b"}, True),
        ({"tags": {"$nin": ["b"]}}, False),
        ({"tags": {"$in": ["c", "a"]}}, True),
        ({"tags": {"$ne": "c"}}, True),
        ({"data.n": 5}, True),
        ({"data.n.deep": None}, True),
        ({"data.list.x": 2}, True),
        ({"data.list.x": {"$gt": 2}}, False),
        ({"data.list.y": None}, True),
        ({"data.price": 1.5}, True),
        ({"data.none": None}, True),
        ({"created": NOW}, True),
        ({"created": {"$lt": NOW}}, False),
        ({"$or": [{"class": "x"}, {"status": 2}]}, True),
        ({"$nor": [{"class": "x"}, {"status": 2}]}, False),
        ({"$and": [{"class": "mail"}, {"$or": [{"status": 1}]}]}, False),
    ],
)
def test_a_query_of_comparisons_is_judged(query: dict[str, Any], holds: bool) -> None:
    asked = condition(query)
    assert asked is not None
    assert asked.holds(DOCUMENT) is holds


@table(
    "query",
    [
        {"class": re.compile("m")},
        {"class": {"$regex": "m"}},
        {"data": {"n": 5}},
        {"tags": ["a"]},
        {"tags": {"$size": 2}},
        {"data.list.0": 7},
        {"status": {"$not": {"$gt": 3}}},
        {"status": {"$gt": None}},
        {"data.n": float("nan")},
        {"$expr": {"$eq": [1, 1]}},
        {"$or": []},
        {"$or": [{"class": {"$regex": "m"}}]},
        {"status": {"$in": 3}},
        {"price": Decimal128("NaN")},
    ],
)
def test_what_only_a_server_can_judge_is_left_to_it(query: dict[str, Any]) -> None:
    assert condition(query) is None
