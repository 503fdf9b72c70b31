"""Limits and blocked sequences as the templates get them."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from bson import ObjectId
from tests.support.tables import table
from tests.unit.presentation.fakes import NOW, ago

from taskscheduler import BlockedSequence, Group, GroupUse, Holder, Limit, LimitUse, Status
from taskscheduler.model.filters.expression import Filter
from taskscheduler_daemon.web.pages.control.rows import HOLDERS, group_row, limit_form, limit_row, sequence_row

ID = ObjectId("6a5f01c2e26cf26c6d0ede69")
ODD = 'a "b", \\ {c}? &x=<script>'


def use(limit: Limit, taken: int = 0, waiting: int = 0) -> LimitUse:
    holder = Holder(ID, limit.name.replace("*", "x"), "Mail", Status.PROCESSING, ago(60), "web-1")
    return LimitUse(limit, (holder,) * taken, waiting)


@table(
    ("limit", "taken", "percent"),
    [
        (Limit("a", concurrency=3), 0, 0),
        (Limit("a", concurrency=3), 1, 33),
        (Limit("a", concurrency=3), 3, 100),
        (Limit("a", concurrency=3), 5, 100),
        (Limit("a", concurrency=0), 0, 100),
        (Limit("a:*", concurrency=3), 3, None),
        (Limit("a", rate=1), 3, None),
    ],
)
def test_a_bar_shows_how_much_is_taken(limit: Limit, taken: int, percent: int | None) -> None:
    assert limit_row(use(limit, taken), NOW)["percent"] == percent


def test_a_few_holders_are_shown() -> None:
    row = limit_row(use(Limit("tenant:*", concurrency=9), HOLDERS + 2, 1000), NOW)
    assert (len(row["holders"]), row["more"], row["waiting"]) == (HOLDERS, 2, "1 000+")
    assert row["holders"][0] == {"id": str(ID), "job": "Mail", "name": "tenant:x", "state": "for 1m on web-1"}
    row = limit_row(use(Limit("a", concurrency=9), 1), NOW)
    assert (row["holders"][0]["name"], row["more"], row["waiting"]) == ("", 0, "")


def test_a_group_tells_its_weight_and_whether_somebody_has_set_it() -> None:
    row = group_row(GroupUse(Group("a b", 2.5, "ada@web-1", NOW), 1000))
    assert (row["weight"], row["is_set"], row["waiting"]) == ("2.5", True, "1 000+")
    assert (row["key"], row["target"]) == ("group=a+b", "name=a+b")
    assert expression(row["waiting_jobs"]) == 'group:"a b" status:postponed'
    row = group_row(GroupUse(Group("a", 1), 0))
    assert (row["weight"], row["is_set"], row["waiting"], row["by"]) == ("1", False, "", "")


def expression(address: str) -> str:
    return parse_qs(urlsplit(address).query)["q"][0]


@pytest.mark.parametrize("name", ["stripe", "tenant:acme", ODD])
def test_the_jobs_of_a_name_are_found_by_an_expression(name: str) -> None:
    found = Filter.parse(expression(limit_row(use(Limit(name, concurrency=1)), NOW)["at_work"])).query(NOW)
    assert found == {"limits": name, "status": {"$in": [2]}}
    one = sequence_row(BlockedSequence(name, ID, "Book", Status.FAILED, None, None, 2), NOW)
    found = Filter.parse(expression(one["waiting_jobs"])).query(NOW)
    assert found == {"sequence": name, "status": {"$in": [0, 1, 2]}}


def test_the_jobs_of_many_names_are_found_if_a_pattern_can_say_it() -> None:
    row = limit_row(use(Limit("tenant:*", concurrency=1)), NOW)
    assert expression(row["waiting_jobs"]) == "limit:tenant:* status:postponed"
    assert limit_row(use(Limit(ODD + "*", concurrency=1)), NOW)["waiting_jobs"] == ""


def test_the_form_begins_with_what_is_set() -> None:
    assert limit_form("new", None) == {"name": "new", "concurrency": "", "rate": "", "per": "", "burst": ""}
    full = limit_form("a", Limit("a", concurrency=0, rate=0.5, per=60, burst=3))
    assert limit_form("a", Limit("a", rate=123456.75, per=90061.5))["rate"] == "123456.75"
    assert full == {"name": "a", "concurrency": "0", "rate": "0.5", "per": "60s", "burst": "3"}
