"""How limits look."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bson import ObjectId
from tests.support.tables import table
from tests.unit.presentation.fakes import NOW, ago

from taskscheduler import Holder, Limit, LimitUse, Status
from taskscheduler_daemon.presentation.limit import at_most, places_of, rate_of, record, row, state_of

ID = ObjectId("6a5f01c2e26cf26c6d0ede69")


@table(
    ("limit", "rate", "places"),
    [
        (Limit("a", concurrency=5), "", "5"),
        (Limit("a", concurrency=0), "", "0"),
        (Limit("a:*", concurrency=2), "", "2 each"),
        (Limit("a", rate=100, per=60, burst=20), "100 per 1m, 20 at once", ""),
        (Limit("a", concurrency=1, rate=0.5), "0.5 per s", "1"),
        (Limit("a", rate=1_000_000.0, per=0.25), "1000000 per 0.2s", ""),
    ],
)
def test_a_limit_is_told_in_words(limit: Limit, rate: str, places: str) -> None:
    assert (rate_of(limit), places_of(limit)) == (rate, places)


@table(
    ("status", "since", "node", "text"),
    [
        (Status.PROCESSING, ago(120), "web-1", "for 2m on web-1"),
        (Status.PROCESSING, ago(-5), None, "for 0s"),
        (Status.PROCESSING, None, "web-1", "runs on web-1"),
        (Status.WAITING, None, None, "waits for a slot"),
        (Status.WAITING, ago(120), "web-1", "waits for a slot"),
        (Status.CANCELED, ago(9), "web-1", "canceled, its process may still run on web-1"),
        (Status.POSTPONED, None, None, "postponed"),
    ],
)
def test_a_holder_says_what_it_does(status: Status, since: datetime | None, node: str | None, text: str) -> None:
    assert state_of(Holder(ID, "a", "Mail", status, since, node), NOW) == text


def test_more_than_what_is_counted_is_shown_as_such() -> None:
    assert (at_most(999, 1000), at_most(1000, 1000)) == ("999", "1 000+")


def test_a_limit_in_a_list_and_for_programs() -> None:
    holder = Holder(ID, "a", "Mail", Status.PROCESSING, ago(120), "web-1")
    use = LimitUse(Limit("a", concurrency=5, by="ada@web-1", at=NOW), (holder,), 7)
    assert row(use) == ("a", "5", "1", "7", "", "ada@web-1")
    known: dict[str, Any] = record(use)
    assert (known["rate"], known["per"], known["burst"], known["taken"], known["at"]) == (None, None, None, 1, NOW)
    told = {"id": ID, "job": "Mail", "name": "a", "state": "processing", "since": ago(120), "node": "web-1"}
    assert known["holders"] == [told]
    assert record(LimitUse(Limit("a", rate=2, per=3, burst=4), (), 0))["per"] == 3
