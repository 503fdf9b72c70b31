"""Which slots the jobs of a node take, and for which jobs it has room."""

from __future__ import annotations

from typing import Any

import pytest

from taskscheduler.model.control.slots import has_room, needs_own_worker, shares_worker, slots_taken

PLAIN: dict[str, Any] = {"class": "a", "options": {"force_spawn": False}}
ASYNC: dict[str, Any] = {**PLAIN, "async": True}
FORCED: dict[str, Any] = {"class": "a", "options": {"force_spawn": True}}


def node(slots: int, **facts: Any) -> dict[str, Any]:
    return {"slots": slots, "forced": 1, "async_jobs": 2, **facts}


def held(plain: int = 0, shared: int = 0, forced: int = 0) -> list[dict[str, Any]]:
    """Jobs that a node holds; those that share a worker do so two by two."""
    jobs: list[dict[str, Any]] = [{"worker": f"p{number}"} for number in range(plain)]
    jobs += [{"worker": f"a{number // 2}", "async": True} for number in range(shared)]
    return jobs + [{"worker": f"f{number}", "forced": True} for number in range(forced)]


def test_what_a_stored_job_needs() -> None:
    assert [needs_own_worker(job) for job in (PLAIN, ASYNC, FORCED)] == [False, False, True]
    assert [shares_worker(job) for job in (PLAIN, ASYNC, {**ASYNC, **FORCED})] == [False, True, False]
    assert not needs_own_worker({"options": 5})


def test_slots_are_counted_by_workers() -> None:
    assert slots_taken(node(4), held(plain=1, shared=4, forced=3)) == 3
    assert slots_taken(node(2), held(plain=9)) == 2, "the others are claimed ahead"
    assert slots_taken({}, held(plain=1)) == 0


@pytest.mark.parametrize(
    ("slots", "jobs", "plain", "shared", "forced"),
    [
        (1, held(), True, True, True),
        (1, held(plain=1), False, False, True),
        (1, held(shared=1), True, True, True),
        (1, held(shared=2), True, False, True),
        (2, held(plain=1, forced=1), True, True, False),
        (2, held(plain=2), False, False, True),
        (2, held(plain=1, shared=1), False, True, True),
        (2, held(shared=2), True, False, True),
        (3, held(plain=1, shared=3), False, True, True),
        (3, held(shared=4), True, False, True),
        (0, held(), False, False, True),
    ],
)
def test_a_node_has_room_as_its_claimer_counts(
    slots: int, jobs: list[dict[str, Any]], plain: bool, shared: bool, forced: bool
) -> None:
    found = [has_room(node(slots), jobs, job) for job in (PLAIN, ASYNC, FORCED)]
    assert found == [plain, shared, forced]


def test_where_async_jobs_run_like_others_they_take_a_slot() -> None:
    jobs = [{"worker": "p", "async": True}]
    assert not has_room(node(1, async_jobs=0), jobs, ASYNC)
    assert not has_room(node(1, async_jobs=0), jobs, PLAIN)


def test_a_node_that_does_not_tell_has_room_beside_its_slots() -> None:
    older = {"slots": 1}
    assert [has_room(older, held(plain=1, forced=9), job) for job in (PLAIN, ASYNC, FORCED)] == [False, True, True]
