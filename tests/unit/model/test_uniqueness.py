"""Which jobs are the same for add_job_once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from taskscheduler.model.uniqueness import canonical, fingerprint, once_key

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)


def test_the_order_of_keys_does_not_matter() -> None:
    one = {"a": 1, "b": {"x": [1, {"p": 1, "q": 2}], "y": 2}}
    two = {"b": {"y": 2, "x": [1, {"q": 2, "p": 1}]}, "a": 1}
    assert once_key("mail", one, False) == once_key("mail", two, False)


DIFFERENT: list[Any] = [
    None,
    {},
    [],
    "",
    0,
    False,
    {"a": None},
    {"a": 1},
    {"a": 2},
    {"a": "1"},
    {"a": [1, 2]},
    {"a": [2, 1]},
    {"a": {"b": 1}},
    {"b": {"a": 1}},
    {"a": True},
    "a",
    b"a",
    NOW,
]


def test_different_data_have_different_keys() -> None:
    assert len({once_key("mail", data, False) for data in DIFFERENT}) == len(DIFFERENT)


def test_different_jobs_have_different_keys_for_the_same_data() -> None:
    assert once_key("mail", {"a": 1}, False) != once_key("post", {"a": 1}, False)
    assert once_key("mail", {"a": 1}, True) != once_key("post", {"a": 1}, True)


def test_ignored_data_do_not_matter() -> None:
    assert len({once_key("mail", data, True) for data in DIFFERENT}) == 1
    assert once_key("mail", None, True) != once_key("mail", None, False)


def test_tuples_are_stored_as_lists_and_equal_to_them() -> None:
    assert fingerprint({"a": (1, 2)}) == fingerprint({"a": [1, 2]})


def test_the_key_of_a_job_is_stable_across_processes() -> None:
    key = "data:mail:69f2253d7926a707a18e98672b4b68d9ebfba06f2e8e7faa12e14bb26fd53ba8"
    assert once_key("mail", {"a": 1}, False) == key


def test_data_are_put_in_order_at_every_level_and_keep_the_order_of_lists() -> None:
    ordered = canonical({"b": ({"z": 1, "a": 2}, 3), "a": [2, 1]})
    assert ordered == {"a": [2, 1], "b": [{"a": 2, "z": 1}, 3]}
    assert list(ordered) == ["a", "b"]
    assert list(ordered["b"][0]) == ["a", "z"]
