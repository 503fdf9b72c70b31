"""The options of windows: what each takes, which exclude each other, and which mean nothing alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.options import JobOptions
from taskscheduler.model.uniqueness import shared_key
from taskscheduler.operations.job_request import JobRequest


def refusal(**given: Any) -> str:
    with pytest.raises(InvalidOptionError) as caught:
        JobRequest.of("mail", None, given, JobOptions())
    return str(caught.value)


@table(
    ("given", "stored"),
    [
        ({}, {}),
        ({"unique_for": 0, "unique_key": None, "debounce": 0, "debounce_max": 0}, {}),
        ({"unique_for": timedelta(minutes=5), "unique_key": "k"}, {"unique_for": 300, "unique_key": "k"}),
        ({"debounce": 0.5, "debounce_max": 60}, {"debounce": 0.5, "debounce_max": 60}),
    ],
)
def test_only_what_is_chosen_is_stored(given: dict[str, Any], stored: dict[str, Any]) -> None:
    plain = JobOptions().stored()
    assert JobOptions.of(given).stored() == {**plain, **stored}


@table("value", ["", "x" * 201, 5, True, b"k", ["k"]])
def test_a_key_is_a_short_text(value: Any) -> None:
    assert refusal(unique_for=5, unique_key=value).startswith("option unique_key must be a text of 1 to 200 characters")


DEBOUNCED, UNIQUE = {"debounce": 5}, {"unique_for": 5}


@table(
    ("given", "one", "other"),
    [
        ({**DEBOUNCED, **UNIQUE}, "debounce", "unique_for"),
        ({**DEBOUNCED, "dedupe": True}, "debounce", "dedupe"),
        ({**DEBOUNCED, "at": timedelta(seconds=5)}, "debounce", "at"),
        ({**DEBOUNCED, "interval": 60}, "debounce", "interval"),
        ({**DEBOUNCED, "start_by": 60}, "debounce", "start_by"),
        ({**DEBOUNCED, "id": ObjectId()}, "debounce", "id"),
        ({**UNIQUE, "dedupe": True}, "unique_for", "dedupe"),
        ({**UNIQUE, "id": ObjectId()}, "unique_for", "id"),
        ({**UNIQUE, "unique_key": "k", "ignore_data": True}, "unique_key", "ignore_data"),
    ],
)
def test_options_that_exclude_each_other_are_both_named(given: dict[str, Any], one: str, other: str) -> None:
    assert refusal(**given).startswith(f"options {one} and {other} exclude each other: ")


@pytest.mark.parametrize(
    "given",
    [
        {**UNIQUE, "at": timedelta(seconds=5), "interval": 60, "start_by": 60, "solo": True, "parent": ObjectId()},
        {**DEBOUNCED, "solo": True, "parent": ObjectId(), "tags": ["a"], "retry": 3, "ignore_data": True},
        {"dedupe": True, "unique_key": "k", "at": timedelta(seconds=5)},
    ],
)
def test_others_go_together(given: dict[str, Any]) -> None:
    assert JobRequest.of("mail", None, given, JobOptions()).options.is_compared


def test_the_longest_time_is_not_shorter_than_one_pause() -> None:
    assert refusal(debounce=5, debounce_max=4) == "option debounce_max (4) must not be less than option debounce (5)"
    assert JobOptions.of({"debounce": 5, "debounce_max": 5}).debounce_max == 5


def test_what_means_nothing_alone_is_refused_where_it_is_given() -> None:
    assert refusal(debounce_max=5) == "option debounce_max means nothing without option debounce"
    assert refusal(unique_key="k") == "option unique_key means nothing without option unique_for, debounce or dedupe"


def test_a_class_may_hold_one_half_and_a_call_the_other() -> None:
    of_class = JobOptions.of({"unique_key": "k", "debounce_max": 60})
    assert not JobRequest.of("mail", None, {}, of_class).options.is_compared
    assert JobRequest.of("mail", None, {"debounce": 5}, of_class).options.debounce_max == 60


def test_equal_jobs_have_the_same_key() -> None:
    assert shared_key("a", {"x": 1, "y": 2}, False, None) == shared_key("a", {"y": 2, "x": 1}, False, None)
    assert shared_key("a", 1, True, None) == shared_key("a", 2, True, None)
    assert shared_key("a", 1, False, "k") == shared_key("a", 2, False, "k")


def test_jobs_of_another_class_or_key_have_another_key() -> None:
    keys = [shared_key(name, 1, False, key) for name in ("a", "a:b") for key in (None, "k", "b:k", "1")]
    assert len(set(keys)) == len(keys)
