"""Which classes of waiting jobs no node knows, and what is asked of the database to find them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

import pytest

from taskscheduler.operations.control.known import unknown_classes
from taskscheduler.store.overview import ClusterOverview


class Jobs:
    """The live jobs of some classes: the queue in which one waits, or None if none waits."""

    def __init__(self, **live: str | None) -> None:
        self.live, self.asked = live, list[str]()

    def live_class(self, after: str, but: Collection[str]) -> str | None:
        self.asked.append(f"behind {after}")
        return min((name for name in self.live if name > after and name not in but), default=None)

    def waits_in(self, name: str) -> str | None:
        self.asked.append(name)
        return self.live.get(name)


def node(**facts: Any) -> dict[str, Any]:
    return {"silent": 1.0, "lease": 30, "queues": [], "jobs": ["Mail", "Sort"], **facts}


def found(jobs: Jobs, *nodes: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one.name, one.queue) for one in unknown_classes(cast(ClusterOverview, jobs), nodes)]


def test_a_class_that_waits_and_that_no_node_names() -> None:
    assert found(Jobs(Mail="x", New="x", Sort="x", Program=None), node()) == [("New", "x")]


def test_one_question_is_all_while_every_class_is_known() -> None:
    jobs = Jobs(Mail="x", Sort="x", Copy="x")
    assert found(jobs, node(), node(jobs=["Copy"])) == []
    assert jobs.asked == ["behind "]


@pytest.mark.parametrize("nodes", [[], [node(silent=31.0)], [node(lost=True)]])
def test_nobody_is_asked_while_no_node_is_up(nodes: list[dict[str, Any]]) -> None:
    jobs = Jobs(New="x")
    assert found(jobs, *nodes) == []
    assert jobs.asked == []


def test_a_class_whose_queue_no_node_serves_is_another_matter() -> None:
    assert found(Jobs(New="files"), node(queues=["mail"])) == []


def test_a_node_may_know_what_it_does_not_name_until_its_workers_refuse_it() -> None:
    silent = {"silent": 1.0, "queues": ["x"]}
    assert found(Jobs(New="x"), node(), silent) == []
    assert found(Jobs(New="x"), node(), {**silent, "unknown": ["New", "Gone"]}) == [("New", "x")]


def test_a_class_that_is_known_in_another_queue_only() -> None:
    jobs = Jobs(Mail="files")
    assert found(jobs, node(queues=["mail"]), node(queues=["files"], jobs=[], unknown=["Mail"])) == [("Mail", "files")]


def test_a_few_are_enough() -> None:
    jobs = Jobs(**{f"{letter}{number}": "x" if letter == "A" else None for letter in "AB" for number in range(99)})
    assert len(found(jobs, node())) == 10
    programs = Jobs(**{f"P{number:03}": None for number in range(999)})
    assert found(programs, node()) == []
    assert len(programs.asked) == 100
