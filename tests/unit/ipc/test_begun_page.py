"""What workers note about the runs that they have begun."""

from __future__ import annotations

import os

from bson import ObjectId

from taskscheduler_daemon.ipc.begun_page import BegunPage

JOB, OTHER = ObjectId().binary, ObjectId().binary


def test_what_has_begun_is_noted_until_its_end() -> None:
    page = BegunPage(10)
    row = page.row(3)
    row.begin(JOB, 1)
    row.begin_async(OTHER, 0)
    assert page.read() == row.begun() == frozenset({(JOB, 1), (OTHER, 0)})
    row.end()
    row.end_async(OTHER, 0)
    row.end_async(OTHER, 0)
    assert page.read() == row.begun() == frozenset()


def test_each_worker_sees_its_own_row_only_and_rows_are_used_again() -> None:
    page = BegunPage(6)
    first, second = page.row(2), page.row(2)
    first.begin(JOB, 1)
    second.begin(OTHER, 2)
    assert (first.begun(), second.begun()) == (frozenset({(JOB, 1)}), frozenset({(OTHER, 2)}))
    first.free()
    assert page.read() == frozenset({(OTHER, 2)})
    again = page.row(2)
    assert (again.first, again.begun()) == (first.first, frozenset())
    assert page.row(2).first == 4


def test_places_for_async_runs_are_used_again() -> None:
    row = BegunPage(3).row(3)
    for attempt in range(1, 10):
        row.begin_async(JOB, attempt)
        assert row.begun() == frozenset({(JOB, attempt)})
        row.end_async(JOB, attempt)


def test_nothing_is_known_once_a_place_was_missing() -> None:
    page = BegunPage(1)
    page.row(1).begin(JOB, 1)
    page.row(1).begin(OTHER, 1)
    assert page.read() is None
    page = BegunPage(2)
    row = page.row(2)
    row.begin_async(JOB, 1)
    row.begin_async(OTHER, 1)
    assert row.begun() is None


def test_a_process_that_is_gone_has_left_it() -> None:
    page = BegunPage(2)
    row = page.row(1)
    pid = os.fork()
    if pid == 0:
        row.begin(JOB, 7)
        os._exit(0)
    os.waitpid(pid, 0)
    assert page.read() == frozenset({(JOB, 7)})
