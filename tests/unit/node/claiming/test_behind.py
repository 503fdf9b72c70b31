"""Which jobs pass no other that waits for longer."""

from __future__ import annotations

from taskscheduler_daemon.node.claiming.behind import Behind


def passing(behind: Behind) -> list[int]:
    return [priority for priority in (-1, 0, 1, 2, 3) if behind.is_passed_by(priority)]


def test_nothing_passes_before_the_first_search() -> None:
    assert passing(Behind()) == []


def test_jobs_pass_those_behind_the_last_one_that_was_found() -> None:
    behind = Behind()
    behind.found([3, 1, 0], more=True)
    assert passing(behind) == [1, 2, 3]
    behind.found([3, 2], more=True)
    assert passing(behind) == [3]


def test_they_pass_nothing_if_nothing_is_left() -> None:
    behind = Behind()
    behind.found([3], more=False)
    assert passing(behind) == [-1, 0, 1, 2, 3]


def test_a_search_whose_jobs_are_all_paused_says_nothing() -> None:
    behind = Behind()
    behind.found([1], more=True)
    behind.found([], more=True)
    assert passing(behind) == [2, 3]


def test_none_passes_an_urgent_job_that_was_left_to_the_next_search() -> None:
    behind = Behind()
    behind.found([0], more=True)
    behind.left(2)
    behind.left(1)
    assert passing(behind) == [3]
    behind.found([0], more=True)
    assert passing(behind) == [1, 2, 3]
