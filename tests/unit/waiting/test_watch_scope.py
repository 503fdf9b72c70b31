"""Whose changes the stream of those who wait shows."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from taskscheduler.waiting.watch_scope import FEW, QUIET, Shown, WatchScope


def ids(count: int) -> list[ObjectId]:
    return [ObjectId() for _ in range(count)]


def place(text: str) -> dict[str, Any]:
    return {"_data": text}


def test_it_begins_with_a_few_jobs_or_with_all() -> None:
    few = ids(FEW)
    assert sorted(WatchScope(few, 0.0).ids or ()) == sorted(few)
    assert WatchScope([*few, ObjectId()], 0.0).ids is None


def test_a_further_job_after_a_while_is_shown_from_the_place_where_it_was_added() -> None:
    one, two, three = ids(3)
    scope = WatchScope([one], 0.0)
    assert scope.next([one], place("80"), QUIET) is None
    assert not scope.add([one], place("81"), QUIET)
    assert scope.add([two], place("82"), QUIET)
    assert scope.add([three], place("83"), QUIET)
    selection = scope.next([one, two, three], place("85"), QUIET)
    assert selection is not None
    assert (set(selection.ids or ()), selection.after) == ({one, two, three}, place("82"))
    assert scope.next([one, two, three], place("85"), QUIET) is None
    assert [scope.is_repeated(job, place("84")) for job in (one, two, three)] == [True, False, False]
    assert [scope.is_repeated(job, place("86")) for job in (one, two, three)] == [False, False, False]


def test_all_jobs_are_shown_while_further_ones_keep_coming() -> None:
    one, two, three = ids(3)
    scope = WatchScope([one], 0.0)
    scope.add([two], place("82"), QUIET / 2)
    assert scope.next([one, two], place("83"), QUIET / 2) == Shown(None, place("82"))
    assert not scope.add([three], place("84"), QUIET)
    assert scope.next([one, two, three], place("85"), QUIET * 1.5) is None
    selection = scope.next([two, three], place("86"), QUIET * 2)
    assert selection is not None
    assert (set(selection.ids or ()), selection.after) == ({two, three}, None)


def test_all_jobs_are_shown_while_there_are_many() -> None:
    many = ids(FEW)
    scope = WatchScope(many, 0.0)
    more = [*many, ObjectId()]
    assert scope.add(more, place("82"), 10.0)
    assert scope.next(more, place("83"), 10.0) == Shown(None, place("82"))
    assert scope.next(more, place("84"), 20.0) is None
    assert scope.next(many, place("85"), 20.0) is not None
