"""The part of a backlog that each of several nodes asks for."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler_daemon.node.claiming.partition import Partition

LEASE = 30.0
NOW = 100.0
QUEUE = "default"


def jobs(count: int) -> list[dict[str, Any]]:
    return [{"_id": ObjectId(), "queue": QUEUE} for _ in range(count)]


def ids(found: list[dict[str, Any]]) -> list[ObjectId]:
    return [job["_id"] for job in found]


def partitions(count: int) -> list[Partition]:
    """What so many nodes know that all know of each other."""
    boots = [ObjectId() for _ in range(count)]
    made = [Partition(boot, LEASE) for boot in boots]
    for partition in made:
        partition.know([{"_id": boot, "silent": 1.0} for boot in boots], NOW)
    return made


def test_a_node_alone_asks_for_all_that_it_wants() -> None:
    partition, found = Partition(ObjectId(), LEASE), jobs(7)
    assert partition.look_at(5, [QUEUE]) == 5
    assert not partition.shared
    assert partition.ours(found, 5, at_head=True, now=NOW) == ids(found)[:5]


@table("count", [2, 3, 4, 8])
def test_nodes_that_know_each_other_divide_what_they_find_among_them(count: int) -> None:
    found = jobs(60 * count)
    parts = [partition.ours(found, 100, at_head=False, now=NOW) for partition in partitions(count)]
    assert sorted(job for part in parts for job in part) == sorted(ids(found))
    assert all(len(part) in (59, 60, 61) for part in parts)


def test_so_much_is_looked_at_that_every_node_finds_what_it_wants() -> None:
    partition = partitions(4)[0]
    assert partition.shared
    assert partition.look_at(100, [QUEUE]) == 400
    assert len(partition.ours(jobs(400), 100, at_head=False, now=NOW)) == 100


def one_of(count: int) -> Partition:
    partition = Partition(ObjectId(), LEASE)
    partition.know([{"_id": ObjectId(), "silent": 1.0} for _ in range(count - 1)], NOW)
    return partition


def test_no_node_looks_at_much_more_than_it_wants() -> None:
    partition = one_of(1000)
    assert partition.look_at(2, [QUEUE]) == 16
    assert partition.look_at(1000, [QUEUE]) == 4000
    assert partition.look_at(10_000, [QUEUE]) == 10_000


def test_what_is_left_at_the_head_for_a_while_is_anybodys() -> None:
    partition, found = partitions(4)[0], jobs(40)
    mine = partition.ours(found, 40, at_head=True, now=NOW)
    assert len(mine) == 10
    left = [job for job in found if job["_id"] not in mine]
    assert partition.ours(left, 40, at_head=True, now=NOW + 0.01) == []
    assert 0 < len(set(partition.ours(left, 40, at_head=True, now=NOW + 2)) & set(ids(left))) < len(left)


def test_a_node_with_nothing_of_its_own_leaves_the_rest_to_the_others_for_a_moment_only() -> None:
    partition, found = partitions(4)[0], jobs(40)
    mine = partition.ours(found, 40, at_head=False, now=NOW)
    left = [job for job in found if job["_id"] not in mine]
    assert partition.ours(left, 40, at_head=False, now=NOW + 1) == []
    assert partition.ours(left, 40, at_head=False, now=NOW + 1.03) == []
    some = partition.ours(left, 40, at_head=False, now=NOW + 1.07)
    assert 0 < len(some) < len(left)
    assert set(some) <= set(ids(left))


def test_nodes_without_jobs_of_their_own_divide_the_part_of_a_busy_one_among_them() -> None:
    busy, *idle = partitions(4)
    found = jobs(240)
    theirs = [job for job in found if job["_id"] in busy.ours(found, 240, at_head=False, now=NOW)]
    assert [partition.ours(theirs, 240, at_head=False, now=NOW) for partition in idle] == [[], [], []]
    parts = [partition.ours(theirs, 240, at_head=False, now=NOW + 0.06) for partition in idle]
    asked = [job for part in parts for job in part]
    assert len(set(asked)) == len(asked), "two nodes ask for the same job"
    assert all(parts)
    assert set(asked) < set(ids(theirs)), "the busy one's next jobs are left to it"


def test_no_job_waits_for_two_nodes_that_are_busy() -> None:
    """What falls to the second of them is taken soon after."""
    _, _, idle, other = partitions(4)
    found = jobs(240)
    taken = {job for partition in (idle, other) for job in partition.ours(found, 240, at_head=False, now=NOW)}
    now, left = NOW, [job for job in found if job["_id"] not in taken]
    assert len(left) == 120
    while left and now < NOW + 1:
        now += 0.01
        taken = set(idle.ours(left, 240, at_head=False, now=now))
        left = [job for job in left if job["_id"] not in taken]
    assert left == []


def test_silent_and_lost_nodes_have_no_part() -> None:
    boot = ObjectId()
    partition = Partition(boot, LEASE)
    partition.know(
        [
            {"_id": boot, "silent": 0.0},
            {"_id": ObjectId(), "silent": LEASE / 2},
            {"_id": ObjectId(), "silent": 0.0, "lost": True},
        ],
        NOW,
    )
    assert not partition.shared


def test_nodes_that_serve_other_queues_or_run_nothing_have_no_part() -> None:
    boot = ObjectId()
    partition = Partition(boot, LEASE)
    others: list[dict[str, Any]] = [{"queues": ["mail"]}, {"queues": []}, {"queues": [QUEUE], "slots": 0}]
    partition.know([{"_id": ObjectId(), "silent": 0.0, **other} for other in others], NOW)
    assert partition.look_at(10, [QUEUE]) == 20
    assert partition.look_at(10, ["mail", QUEUE]) == 30
    found = jobs(60)
    assert len(partition.ours(found, 60, at_head=False, now=NOW)) == 30
    assert len(partition.ours([{**job, "queue": "mail"} for job in found], 60, at_head=False, now=NOW)) == 20


def test_who_else_there_is_is_asked_for_now_and_then_and_soon_after_others_were_faster() -> None:
    partition = Partition(ObjectId(), LEASE)
    assert partition.is_old(NOW)
    partition.know([], NOW)
    assert (partition.is_old(NOW + 1), partition.is_old(NOW + 10)) == (False, True)
    partition.claimed(asked=10, got=10)
    assert not partition.is_old(NOW + 1)
    partition.claimed(asked=10, got=9)
    assert partition.is_old(NOW + 1)


def test_a_thousand_nodes_ask_for_each_other_less_often() -> None:
    assert not one_of(1000).is_old(NOW + 20)


@table("step", [1, 2, 3, 4, 5, 7])
def test_each_group_is_divided_evenly_in_whichever_order_its_jobs_were_added(step: int) -> None:
    of_group = [{**job, "group": "a"} for job in jobs(40 * step)[::step]]
    shares = [len(part.ours(of_group, 40, at_head=False, now=NOW)) for part in partitions(2)]
    assert shares == pytest.approx([20, 20], abs=4), "a program adds jobs of so many groups by turns"


def test_nodes_divide_the_jobs_of_groups_among_them() -> None:
    found = [{**job, "group": "a"} for job in jobs(300)]
    parts = [part.ours(found, 300, at_head=False, now=NOW) for part in partitions(3)]
    assert sorted(job_id for part in parts for job_id in part) == ids(found)


def test_of_jobs_that_only_this_node_knows_it_takes_one_for_each_idle_slot_and_its_part_of_the_others() -> None:
    partition = Partition(ObjectId(), 30.0)
    assert partition.share(100, idle=2) == 100
    partition.know([{"_id": ObjectId(), "silent": 0.0} for _ in range(3)], 0.0)
    assert [partition.share(count, idle=2) for count in (0, 1, 8, 9, 100)] == [2, 2, 2, 3, 25]


def test_a_batch_is_filled_with_our_jobs_first_and_with_others_if_these_are_too_few() -> None:
    found = jobs(40)
    first, second = (partition.ours_first(found, QUEUE, 10) for partition in partitions(2))
    assert len(first) == len(second) == 10
    assert not set(first) & set(second)
    assert sorted(partitions(2)[0].ours_first(found, QUEUE, 99)) == sorted(ids(found))
