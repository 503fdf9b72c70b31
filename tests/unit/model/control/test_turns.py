"""Whose job comes next while several groups wait."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.support.tables import table

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.control.groups import Group, new_group, read_group, stored_group
from taskscheduler.model.control.keys import GroupList, first_list, read_group_list
from taskscheduler.model.control.turns import Turns

MANY = 1000


def of(name: str, priority: int = 0) -> GroupList:
    return GroupList("default", priority, name)


A, B, C = of("a"), of("b"), of("c")


def started(turns: Turns, count: int, lists: tuple[GroupList, ...], **weights: float) -> list[GroupList]:
    """Which jobs a node starts, one after the other, of lists that never end."""
    jobs = []
    for _ in range(count):
        turns.wait(lists, weights)
        (one,) = turns.plan(1, {})
        turns.took([one])
        jobs.append(one)
    return jobs


def test_groups_take_turns() -> None:
    assert started(Turns(), 6, (A, B, C)) == [A, B, C, A, B, C]


def test_a_group_that_comes_later_has_its_turn_at_once_and_then_every_second() -> None:
    turns = Turns()
    started(turns, MANY, (A,))
    assert started(turns, 6, (A, B)) == [B, A, B, A, B, A]


def test_a_group_saves_up_no_turns_while_it_has_no_jobs() -> None:
    turns = Turns()
    started(turns, 10, (A, B))
    started(turns, MANY, (A,))
    assert Counter(started(turns, 100, (A, B)))[B] == 50


@pytest.mark.parametrize("weights", [{"a": 3}, {"a": 0.3, "b": 0.1}, {"a": 1000, "b": 1000 / 3}])
def test_weights_are_shares(weights: dict[str, float]) -> None:
    assert Counter(started(Turns(), 400, (A, B), **weights)) == {A: 300, B: 100}


def test_a_light_group_gets_no_more_by_having_a_job_only_now_and_then() -> None:
    turns, counts = Turns(), Counter[GroupList]()
    for _ in range(500):
        counts.update(started(turns, 1, (A, B), b=0.01))
        counts.update(started(turns, 1, (A,)))
    assert counts[B] <= 11


def test_a_changed_weight_holds_from_the_next_turn_on() -> None:
    turns = Turns()
    started(turns, 100, (A, B))
    assert Counter(started(turns, 100, (A, B), b=9))[B] == pytest.approx(90, abs=1)


def test_a_higher_priority_goes_first() -> None:
    urgent = of("b", 5)
    turns = Turns()
    turns.wait([A, urgent, C], {})
    assert turns.plan(MANY, {}) == {urgent: MANY}
    assert turns.plan(4, {urgent: 2}) == {urgent: 2, A: 1, C: 1}
    assert turns.order({A: 1, urgent: 2, C: 1}) == [urgent, urgent, A, C]


def test_urgent_jobs_between_change_no_shares_of_the_others() -> None:
    turns, urgent, counts = Turns(), of("a", 5), Counter[GroupList]()
    for _ in range(400):
        counts.update(started(turns, 1, (A, B), a=3))
        started(turns, 1, (A, B, urgent), a=3)
    assert counts == {A: 300, B: 100}


def test_a_plan_takes_no_turn() -> None:
    turns = Turns()
    turns.wait([A, B], {})
    assert turns.plan(3, {}) == turns.plan(3, {}) == {A: 2, B: 1}
    turns.took([A])
    assert turns.plan(1, {}) == {B: 1}


def test_a_plan_gives_the_turns_of_short_lists_to_the_others() -> None:
    turns = Turns()
    turns.wait([A, B], {})
    assert turns.plan(10, {A: 1}) == {A: 1, B: 9}
    assert turns.plan(10, {A: 1, B: 2}) == {A: 1, B: 2}
    assert turns.order({A: 1, B: 3}) == [A, B, B, B]


def test_thousands_of_groups_have_a_turn_each() -> None:
    lists = [of(f"g{number}") for number in range(2000)]
    turns = Turns()
    turns.wait(lists, {})
    for _ in range(20):
        turns.took(turns.plan(100, {}).elements())
    assert turns.plan(2001, {}).most_common(1)[0][1] == 2, "all are even again"


def test_nothing_is_kept_of_lists_that_have_ended() -> None:
    turns = Turns()
    for number in range(100):
        started(turns, 3, (A, of(f"g{number}")))
    assert len(turns._starts) < 5
    turns.wait([], {})
    assert (turns._starts, turns._now) == ({}, {})


@table("priority", [-(2**31), -1, 0, 9, 2**31 - 1])
def test_the_key_of_a_list_says_what_is_in_it(priority: int) -> None:
    one = GroupList("mail", priority, "customer:7")
    assert read_group_list(one.key) == one
    assert first_list({"queue": "mail", "priority": priority, "group": "customer:7", "solo": "k"}) == one.key


def test_the_keys_of_a_queue_sort_by_priority() -> None:
    lists = [GroupList("mail", priority, "g") for priority in (-(2**31), -20, -3, 0, 1, 12, 2**31 - 1)]
    assert sorted(lists, key=lambda one: one.key) == lists


@table("text", ["group:", "group:a", "group:a\0b\0c", "limit:a\x0012147483648\0c", "", None, 7])
def test_any_other_text_is_the_key_of_no_list(text: object) -> None:
    assert read_group_list(text) is None


def test_a_job_whose_place_is_odd_waits_for_its_other_controls() -> None:
    for odd in ({"queue": 7}, {"priority": "high"}, {"priority": 2**31}, {"group": 7}):
        assert first_list({"queue": "mail", "priority": 0, "group": "g", "solo": "k", **odd}) == "solo:k"


@table("weight", [0, 0.009, 1000.1, -1, "3", True, None, float("nan"), float("inf")])
def test_weights_are_numbers_within_bounds(weight: object) -> None:
    with pytest.raises(InvalidOptionError, match=r"option weight must be a number from 0\.01 to 1000, not"):
        new_group("a", weight)


@table("name", ["", "a*", "x" * 201, "a\0b", 7])
def test_names_are_texts(name: object) -> None:
    with pytest.raises(InvalidOptionError, match="option name"):
        new_group(name, 1)


def test_a_stored_group_is_read_and_an_odd_one_is_none() -> None:
    stored = {"_id": "group:a", **stored_group(Group("a", 3))}
    assert read_group(stored) == Group("a", 3)
    for odd in ({"weight": 0}, {"name": 7}, {"name": "b"}, {"_id": "limit:a"}):
        assert read_group({**stored, **odd}) is None
