"""The workers of a node as a tree."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from taskscheduler_daemon.cli.output.worker_tree import tree

JOB = ObjectId()
BUSY: dict[str, Any] = {"pid": 4711, "job": JOB, "seconds": 118.0, "cpu": 31.0, "memory": 88 * 2**20, "jobs": 1}
IDLE: dict[str, Any] = {"pid": 4800}


def test_each_worker_stands_with_its_job_and_what_it_costs() -> None:
    jobs = {JOB: {"class": "CopyFile\x1b[2J", "progress": 82.0}}
    assert list(tree({"workers": [BUSY, IDLE]}, jobs, True)) == [
        f"  ├ 4711    {JOB}  CopyFile\\x1b[2J 1m58s 82% 88 MiB, cpu 31%",
        "  └ 4800    idle",
    ]


def test_a_job_that_began_a_moment_ago_has_no_known_worker() -> None:
    assert list(tree({"workers": [{"job": JOB, "jobs": 3}]}, {}, False)) == [f"  - ?       {JOB}  and 2 more"]


def test_of_very_many_workers_the_first_ones_are_drawn() -> None:
    lines = list(tree({"workers": [IDLE] * 53}, {}, True))
    assert (len(lines), lines[49], lines[50]) == (51, "  └ 4800    idle", "    and 3 more workers")


def test_a_node_without_workers_has_no_tree() -> None:
    assert list(tree({}, {}, True)) == []
