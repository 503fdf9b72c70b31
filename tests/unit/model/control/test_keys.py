"""The keys of controls, the names of places, and the document of a job that waits for its controls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Code, ObjectId
from tests.support.tables import table

from taskscheduler.model.control.keys import (
    FAR,
    blocks_sequence,
    first_list,
    free_number,
    gate_of,
    hold_back,
    is_controlled,
    is_parked,
    is_place_of,
    key,
    keys_of,
    kind_and_name,
    place,
    place_number,
    place_range,
    places_in,
)
from taskscheduler.model.lifecycle import Status

NOW = datetime(2030, 1, 1, tzinfo=UTC)

NAMES = ["a", "a:b", "tenant:7", "ä", "a b", "rate:a"]

OF_ALL = {"sequence": "s", "limits": ["a", "b"], "solo": "k"}


@table("kind", ["sequence", "limit", "rate", "solo"])
@table("name", NAMES)
def test_a_key_says_its_kind_and_name(kind: str, name: str) -> None:
    assert kind_and_name(key(kind, name)) == (kind, name)


def test_a_job_asks_its_sequence_first_then_its_limits_in_their_order_then_its_solo_key() -> None:
    assert keys_of(OF_ALL) == ("sequence:s", "limit:a", "limit:b", "solo:k")
    assert first_list(OF_ALL) == "sequence:s"
    assert first_list({"solo": "k", "limits": ["b", "a"]}) == "limit:b"
    assert (keys_of({}), first_list({})) == ((), "")


@table("odd", [5, None, [], {}, Code("x"), [5], [None, Code("x")], "text"])
def test_what_is_no_name_is_no_control(odd: Any) -> None:
    named = () if odd != "text" else ("sequence:text",)
    assert keys_of({"sequence": odd}) == named
    assert keys_of({"limits": odd}) == ()
    assert keys_of({"limits": odd, "solo": "k"}) == ("solo:k",)


def test_a_limit_that_is_named_twice_is_asked_once() -> None:
    assert keys_of({"limits": ["a", "b", "a"]}) == ("limit:a", "limit:b")


@pytest.mark.parametrize("field", ["sequence", "limits", "solo"])
def test_a_job_with_one_of_the_options_is_controlled(field: str) -> None:
    assert is_controlled({field: None})
    assert not is_controlled({"class": "mail", "tags": ["solo"]})


# -- places -----------------------------------------------------------------------------------------------------------


@table("kind", ["limit", "sequence"])
@table("name", NAMES)
def test_a_place_is_one_of_its_control_alone(kind: str, name: str) -> None:
    first, end = place_range(key(kind, name))
    for number in (0, 7, 9999, ObjectId()):
        taken = place(key(kind, name), number)
        assert first <= taken < end
        others = [key(one, other) for one in ("limit", "sequence") for other in (*NAMES, name[:-1], name + "0")]
        owners = {other for other in others if is_place_of(other, taken)}
        assert owners == {key(kind, name)}
        assert [other for other in others if place_range(other)[0] <= taken < place_range(other)[1]] == [
            other for other in others if other == key(kind, name)
        ]


def test_the_place_of_a_solo_job_is_its_key() -> None:
    assert is_place_of("solo:k", "k")
    assert not is_place_of("solo:k", "kk")
    assert not is_place_of("solo:k", place("limit:k", 0))


@table("odd", [None, 5, [], Code("x")])
def test_what_is_no_text_is_no_place(odd: Any) -> None:
    assert not is_place_of("limit:a", odd)
    assert place_number("limit:a", odd) is None


def test_a_place_has_the_number_that_it_was_made_of() -> None:
    assert [place_number("limit:a", place("limit:a", number)) for number in (0, 7, 9999)] == [0, 7, 9999]
    assert place_number("limit:b", place("limit:a", 1)) is None
    for job_id in (ObjectId(), ObjectId("1" * 24)):
        assert place_number("limit:a", place("limit:a", job_id)) is None, "a job came when no limit was set"


def of(*numbers: Any) -> list[str]:
    return [place("limit:a", number) for number in numbers]


@table(
    ("taken", "concurrency", "free"),
    [
        ((), 1, 0),
        ((), 0, None),
        ((0,), 1, None),
        ((0, 2), 3, 1),
        ((1, 2), 3, 0),
        ((0, 1, 2), 4, 3),
        ((3, 4), 2, None),
        ((4,), 2, 0),
        ((0, 4), 3, 1),
        ((ObjectId(), ObjectId()), 2, None),
        ((ObjectId(), 0), 3, 1),
    ],
)
def test_the_lowest_free_number_is_next_unless_as_many_are_taken(
    taken: tuple[Any, ...], concurrency: int, free: int | None
) -> None:
    assert free_number(of(*taken), "limit:a", concurrency) == free


@table(
    ("keys", "gate"),
    [
        (["solo:k"], "k"),
        (["limit:a"], ["k"]),
        (["sequence:k"], ["k"]),
        (["limit:a", "solo:k"], ["k"]),
        ([], []),
    ],
)
def test_only_the_gate_of_a_job_that_is_nothing_but_solo_is_its_key(keys: list[str], gate: Any) -> None:
    assert gate_of(keys, ["k"] if keys else []) == gate


@table(
    ("gate", "places"),
    [("k", ["k"]), (["k", "l"], ["k", "l"]), ([], []), (None, []), (5, []), ([5, "k", Code("x")], ["k"])],
)
def test_places_are_read_from_any_gate(gate: Any, places: list[str]) -> None:
    assert places_in({"gate": gate}) == places
    assert places_in({}) == []


# -- documents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ago", [0, 1])
def test_a_new_controlled_job_that_is_due_is_parked(ago: float) -> None:
    due = NOW - timedelta(seconds=ago)
    document: dict[str, Any] = {"status": int(Status.WAITING), "at": due, **OF_ALL}
    hold_back(document, NOW)
    parked = {"status": int(Status.POSTPONED), "at": FAR, "parked_at": due, "blocked": "sequence:s"}
    assert document == {**OF_ALL, **parked}
    assert is_parked(document)


def test_one_for_later_is_not_parked_yet() -> None:
    later = NOW + timedelta(seconds=1)
    document: dict[str, Any] = {"status": int(Status.WAITING), "at": later, "limits": ["a"]}
    hold_back(document, NOW)
    assert document == {"status": int(Status.POSTPONED), "at": later, "limits": ["a"]}
    assert not is_parked(document)


def test_any_other_job_stays_as_it_is() -> None:
    document = {"status": int(Status.WAITING), "at": NOW}
    hold_back(document, NOW)
    assert document == {"status": int(Status.WAITING), "at": NOW}


@table(
    ("job", "blocks"),
    [
        ({"sequence": "s", "options": {"sequence_on_failure": "block"}}, True),
        ({"sequence": "s", "options": {"sequence_on_failure": "skip"}}, False),
        ({"sequence": "s", "options": {}}, False),
        ({"sequence": "s", "options": 5}, False),
        ({"options": {"sequence_on_failure": "block"}}, False),
    ],
)
def test_a_failure_blocks_a_sequence_only_if_somebody_has_said_so(job: dict[str, Any], blocks: bool) -> None:
    assert blocks_sequence(job) == blocks
