"""Databases that tests use one after another look the same to each of them."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from tests.support.databases import Databases


@pytest.fixture
def databases(server_uri: str) -> Iterator[Databases]:
    made = Databases(server_uri)
    yield made
    made.close()  # the databases end with their server


def again(databases: Databases, name: str) -> bool:
    """Gives a database back with others; returns whether the next one to be taken is that."""
    others = [databases.take() for _ in range(3)]
    for one in (name, *others):
        databases.give_back(one, reusable=True)
    return databases.take() == name


def catalog(databases: Databases, name: str) -> dict[str, Any]:
    stages: list[dict[str, Any]] = [{"$listCatalog": {}}, {"$match": {"db": name, "name": "taskscheduler.jobs"}}]
    with databases.client.admin.aggregate(stages) as entries:
        return {index["spec"]["name"]: index for entry in entries for index in entry["md"]["indexes"]}


def test_no_index_remembers_the_lists_of_a_test_before(databases: Databases) -> None:
    name = databases.take()
    jobs = databases.client[name]["taskscheduler.jobs"]
    before = catalog(databases, name)
    jobs.insert_one({"parked_at": 1, "blocked": ["a", "b"], "fingerprint": ["x", "y"]})
    assert {one for one, index in catalog(databases, name).items() if index["multikey"]} == {"blocked", "failures"}
    assert again(databases, name)
    after = catalog(databases, name)
    assert not any(index["multikey"] for index in after.values())
    assert {one: index["spec"] for one, index in after.items()} == {one: index["spec"] for one, index in before.items()}


def test_nothing_of_a_test_is_left(databases: Databases) -> None:
    name = databases.take()
    database = databases.client[name]
    database["taskscheduler.jobs"].insert_one({"status": 0})
    database["taskscheduler.jobs"].create_index("more")
    database["own"].insert_one({"list": [1, 2]})
    database["own"].create_index("list")
    before = {*database.list_collection_names()}
    assert again(databases, name)
    assert {*database.list_collection_names()} == before - {"own"}
    assert "more_1" not in catalog(databases, name)
    assert database["taskscheduler.jobs"].count_documents({}) == 0


def test_one_that_is_written_to_late_is_not_used_again(databases: Databases) -> None:
    name = databases.take()
    others = [databases.take() for _ in range(3)]
    for one in (name, *others):
        databases.give_back(one, reusable=True)
    databases.client[name]["taskscheduler.jobs"].insert_one({"status": 0})
    assert databases.take() not in (name, *others)
    assert name not in databases.client.list_database_names()


def test_one_that_is_followed_is_not_used_again(databases: Databases) -> None:
    name = databases.take()
    with databases.client[name].watch() as changes:
        follower = Thread(target=lambda: [*changes])
        follower.start()
        assert not again(databases, name)
        follower.join()  # the database is dropped, which ends its stream
