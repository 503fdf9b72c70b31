"""On which client change streams wait."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from taskscheduler.errors import InvalidOptionError
from taskscheduler.store.client import SMALLEST_POOL, StreamDatabase, close, connect

URI = "mongodb://nobody.invalid/app?maxPoolSize="


def opened(size: int) -> tuple[Database[Any], StreamDatabase]:
    uri = f"{URI}{size}"
    database = connect(uri, connect=False)
    return database, StreamDatabase(database, uri)


def size_of(database: Database[Any]) -> Any:
    return database.client.options.pool_options.max_pool_size


@pytest.fixture(params=[0, SMALLEST_POOL, 100])
def large(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_a_few_streams_share_a_client_that_has_room_for_them(large: int) -> None:
    database, streams = opened(large)
    assert streams.for_few().client is database.client
    close(database)


def test_a_few_streams_have_a_client_of_their_own_if_there_is_no_room() -> None:
    database, streams = opened(SMALLEST_POOL - 1)
    made = streams.for_few()
    assert made.client is not database.client
    assert made is streams.for_many()
    assert made.name == "app"
    assert size_of(made) is None
    assert size_of(database) == SMALLEST_POOL - 1
    streams.close()
    streams.close()
    close(database)


def test_many_streams_have_a_client_of_their_own_in_any_case(large: int) -> None:
    database, streams = opened(large)
    assert streams.for_many().client is not database.client
    streams.close()
    close(database)


def given(size: int, count: int) -> tuple[Database[Any], list[StreamDatabase]]:
    """Streams of so many schedulers on one client."""
    database = connect(f"{URI}{size}", connect=False)
    return database, [StreamDatabase(database, None) for _ in range(count)]


def test_the_first_scheduler_on_a_client_that_was_given_shares_it_and_the_others_share_a_second_one(large: int) -> None:
    database, [first, second, third] = given(large, 3)
    assert first.for_few().client is first.for_few().client is database.client
    made = second.for_few()
    assert made.client is not database.client
    assert (made.name, size_of(made)) == ("app", None)
    assert third.for_few().client is third.for_many().client is first.for_many().client is made.client
    first.close()
    assert third.for_few().client is database.client, "the first one of those that are left"
    for streams in (second, third):
        streams.close()
        streams.close()
    assert third.for_many().client is not made.client, "that is closed"
    third.close()
    close(database)


def test_a_second_client_is_made_for_each_client(large: int) -> None:
    one, [of_one] = given(large, 1)
    other, [of_other] = given(large, 1)
    assert one.client == other.client, "for the driver, as their servers are the same"
    assert of_other.for_few().client is other.client
    assert of_one.for_few().client is one.client
    assert of_one.for_many().client is not of_other.for_many().client
    for streams in (of_one, of_other):
        streams.close()
    close(one)
    close(other)


def test_a_small_client_that_was_given_is_not_shared() -> None:
    database, [streams] = given(1, 1)
    assert streams.for_few().client is streams.for_many().client is not database.client
    streams.close()
    close(database)


def test_a_driver_that_makes_no_second_client_needs_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(MongoClient, "_duplicate")
    database, [first, second] = given(100, 2)
    assert first.for_many().client is second.for_few().client is database.client
    second.close()
    close(database)
    database, [streams] = given(1, 1)
    for get in (streams.for_few, streams.for_many):
        with pytest.raises(InvalidOptionError, match="has maxPoolSize=1, too few connections to wait or listen with"):
            get()
    close(database)
