"""Where in a deep backlog a node works, among others that have the same remainder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from tests.scale.simulate import Remainders, added_at_once, added_by_many, claims
from tests.support.tables import table

from taskscheduler.store.claims import Cursor
from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.claiming.stretches import Crew, Part, Stretches

NOW = 100.0
WANTED, WIDTH = 10, 8
LOOK_AT = WANTED * WIDTH
FIRST, THIRD = Crew(0, 8, WIDTH), Crew(2, 8, WIDTH)
START = datetime(2026, 1, 1, tzinfo=UTC)
BACKLOG: list[dict[str, Any]] = [
    {"_id": ObjectId(f"{number:024x}"), "queue": "default", "priority": 0, "at": START + timedelta(milliseconds=number)}
    for number in range(8000)
]
MINE = BACKLOG[::WIDTH]  #: with the remainder 0
OURS = {job["_id"] for job in MINE}


def place(job: dict[str, Any]) -> Cursor:
    return Cursor(job["queue"], job["priority"], job["at"], job["_id"])


def number(cursor: Cursor | None) -> float:
    """How many jobs lie before a place."""
    assert cursor is not None
    return (cursor.at - START) / timedelta(milliseconds=1)


def numbers(jobs: Sequence[Any]) -> list[float]:
    return [number(place(job)) for job in jobs]


def go_on(stretches: Stretches, jobs: list[dict[str, Any]], cursor: Cursor) -> Part:
    found = jobs[:LOOK_AT]
    return stretches.go_on(found, [job for job in found if job["_id"] in OURS], WANTED, cursor, FIRST)


def walking() -> tuple[Stretches, Cursor]:
    """A node that has claimed jobs and met nobody."""
    stretches = Stretches()
    assert stretches.begin(BACKLOG[:LOOK_AT], MINE[:WANTED], FIRST) is None
    part = go_on(stretches, BACKLOG[1:], place(BACKLOG[0]))
    assert part.go_on is not None
    return stretches, part.go_on


def test_the_first_group_begins_at_the_head_and_each_other_one_further_back() -> None:
    assert Stretches().begin(BACKLOG[:LOOK_AT], MINE[:WANTED], FIRST) is None
    assert number(Stretches().begin(BACKLOG[:LOOK_AT], MINE[:WANTED], THIRD)) == pytest.approx(2 * LOOK_AT, abs=1)


def test_a_node_goes_on_behind_the_last_job_that_it_asks_for() -> None:
    stretches, cursor = walking()
    assert number(cursor) == LOOK_AT
    part = go_on(stretches, BACKLOG[LOOK_AT + 1 :], cursor)
    assert numbers(part.jobs) == [LOOK_AT + WIDTH * count for count in range(1, WANTED + 1)]
    assert number(part.go_on) == number(place(dict(part.jobs[-1])))


def test_a_node_that_meets_another_one_asks_for_what_lies_before_it_and_leaps() -> None:
    stretches, cursor = walking()
    taken = MINE[16:60]
    left = [job for job in BACKLOG[LOOK_AT + 1 :] if job not in taken]
    part = go_on(stretches, left[:40] + left[400:], cursor)
    assert numbers(part.jobs) == [88, 96, 104, 112, 120]
    assert 120 < number(part.go_on) <= 120 + 4 * 8 * LOOK_AT


def test_a_node_leaps_where_its_jobs_are_missing_among_the_others() -> None:
    stretches, cursor = walking()
    others = [job for job in BACKLOG[LOOK_AT + 1 :] if job["_id"] not in OURS]
    part = go_on(stretches, others, cursor)
    assert part.jobs == []
    assert number(part.go_on) > number(place(others[LOOK_AT - 1]))


def test_sparser_jobs_are_no_gap() -> None:
    stretches, cursor = walking()
    sparse = BACKLOG[LOOK_AT + 1 :: 5]
    found = sparse[:LOOK_AT]
    part = stretches.go_on(found, found[::WIDTH], WANTED, cursor, FIRST)
    assert len(part.jobs) == WANTED


def test_a_node_leaps_after_others_were_faster() -> None:
    stretches, cursor = walking()
    stretches.claimed(10, 10)
    assert stretches.start(cursor) == cursor
    stretches.claimed(10, 5)
    moved = stretches.start(cursor)
    assert number(moved) > number(cursor)
    assert stretches.start(moved) == moved, "once is enough"


def test_where_the_backlog_ends_before_its_stretch_a_node_begins_at_the_head_until_there_is_a_new_one() -> None:
    stretches, head, mine = Stretches(), BACKLOG[:LOOK_AT], MINE[:WANTED]
    assert stretches.begin(head, mine, THIRD) is not None
    stretches.ended(at_head=False)
    assert stretches.begin(head, mine, THIRD) is None
    assert not stretches.reaches(THIRD)
    stretches.ended(at_head=True)
    assert stretches.begin(head, mine, THIRD) is not None


def crowd(count: int) -> list[Partition]:
    boots = [ObjectId(f"{rank:024x}") for rank in range(count)]
    made = [Partition(boot, 30.0) for boot in boots]
    for partition in made:
        partition.know([{"_id": boot, "silent": 0.0} for boot in boots], NOW)
    return made


def test_groups_are_equally_large_and_look_at_no_more_than_they_need() -> None:
    assert [crowd(count)[0].look_at(1, ["default"]) for count in (8, 9, 12, 16, 17, 64)] == [8, 5, 6, 8, 6, 8]


def test_a_backlog_that_all_have_seen_is_divided_among_all() -> None:
    found = BACKLOG[:100]
    parts = [one.part(found, WANTED, False, None, NOW).ids for one in crowd(20)]
    assert sorted(job for part in parts for job in part) == [job["_id"] for job in found]


def test_a_node_without_a_part_of_a_short_backlog_helps_the_others_of_its_remainder_after_a_moment() -> None:
    nodes, found = crowd(16), BACKLOG[:8]
    assert [len(one.part(found, WANTED, False, None, NOW).ids) for one in nodes] == [1] * 8 + [0] * 8
    assert nodes[9].part(found, WANTED, False, None, NOW + 0.02).ids == [BACKLOG[1]["_id"]]


def test_urgent_jobs_are_asked_for_wherever_a_node_works() -> None:
    partition, behind = crowd(64)[0], place(BACKLOG[4000])
    urgent = [{**job, "priority": 5} for job in BACKLOG[:LOOK_AT]]
    asked = partition.part(urgent, WANTED, True, behind, NOW)
    assert asked.ids == [job["_id"] for job in MINE[:WANTED]]


def test_paused_jobs_are_no_end_of_a_backlog() -> None:
    assert crowd(64)[0].part([], WANTED, True, None, NOW).ids == []


@table("nodes", [12, 16, 32, 64, 128])
def test_nodes_hardly_ask_for_the_same_jobs(nodes: int) -> None:
    """With remainders alone, every third job is asked for in vain by 64 nodes. Simulated, with a fixed seed."""
    for backlog in (added_at_once(12_000), added_by_many(12_000)):
        outcome = claims(nodes, backlog, 6_000)
        assert outcome.conflicts < 0.05, outcome
        assert outcome.looked_at < 16, outcome
        assert outcome.late < 1, outcome


def test_without_stretches_they_do() -> None:
    assert claims(64, added_at_once(12_000), 6_000, Remainders).conflicts > 0.25


@table("count", [20, 300, 1500, 6000])
def test_a_short_backlog_is_claimed_as_fast_as_a_long_one(count: int) -> None:
    """All nodes are idle and hear of it: they ask for a tenth in vain at most, and leave nothing behind."""
    outcome = claims(64, added_at_once(count), count)
    assert outcome.conflicts < 0.1, outcome
    assert outcome.seconds < 0.2 + count / 15_000, outcome


def test_nodes_that_look_rarely_need_no_stretches_and_take_what_is_at_the_head() -> None:
    partition = crowd(64)[63]
    found, at_head = BACKLOG[:LOOK_AT], [job["_id"] for job in BACKLOG[7:LOOK_AT:WIDTH]]
    assert partition.part(found, WANTED, True, None, NOW).ids == [], "it begins elsewhere"
    assert partition.part(found, WANTED, True, None, NOW + 5) == (at_head, None)
