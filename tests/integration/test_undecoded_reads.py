"""Whoever reads documents undecoded gets errors that the driver can still read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bson import Binary
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure
from tests.support.eventually import eventually

from taskscheduler.store.change_feed import GAP, ChangeFeed
from taskscheduler.store.lenient_reads import undecoded

NONSENSE = {"$nonsense": 1}

READS: dict[str, Callable[[Collection[Any]], Any]] = {
    "find_one": lambda jobs: jobs.find_one(NONSENSE),
    "find_raw_batches": lambda jobs: list(jobs.find_raw_batches(NONSENSE)),
    "find_one_and_update": lambda jobs: jobs.find_one_and_update(NONSENSE, {"$set": {"a": 1}}),
    "aggregate": lambda jobs: list(jobs.aggregate([NONSENSE])),
}


def details(read: Callable[[], Any]) -> Any:
    with pytest.raises(OperationFailure) as caught:
        read()
    return caught.value.details


# a driver that gets a dict compares topology versions, and an old "not primary" does not make it wait for a server


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_the_details_of_an_error_are_a_dict(
    database: Database[dict[str, Any]], read: Callable[[Collection[Any]], Any]
) -> None:
    assert isinstance(details(lambda: read(undecoded(database["some"]))), dict)


def test_those_of_a_change_feed_too(database: Database[dict[str, Any]]) -> None:
    assert isinstance(details(ChangeFeed(database["some"], [NONSENSE]).open), dict)


def test_a_change_that_cannot_be_decoded_costs_no_other(database: Database[dict[str, Any]]) -> None:
    good = [{"_id": n} for n in range(3)]
    with ChangeFeed(database["some"], [], await_ms=10) as feed:
        eventually(lambda: feed.next() is None and feed.token, what="a place to resume at")
        database["some"].insert_many([good[0], {"_id": "bad", "uuid": Binary(b"no uuid", 4)}, *good[1:]])
        changes: list[Any] = [eventually(feed.next, what="a change") for _ in range(4)]
    assert [change if change is GAP else change["documentKey"]["_id"] for change in changes] == [0, "bad", 1, 2]
