"""Where a node looks for jobs next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from taskscheduler.store.claims import Cursor
from taskscheduler_daemon.node.claiming.search import Search

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def jobs(count: int, queue: str = "default", priority: int = 0) -> list[dict[str, Any]]:
    return [
        {"_id": ObjectId(), "queue": queue, "priority": priority, "at": NOW + timedelta(seconds=number)}
        for number in range(count)
    ]


def at_rest(*served: str) -> Search:
    """One that has looked everywhere and found nothing."""
    lookout = Search(served)
    lookout.begin_everywhere()
    lookout.pop_forced()
    lookout.found([], 1)
    return lookout


def test_the_first_look_is_everywhere() -> None:
    lookout = Search([])
    assert lookout.more
    assert lookout.begin_everywhere()
    assert lookout.pop_forced()
    assert not lookout.begin_everywhere()


def test_a_few_new_jobs_are_named_where_nothing_else_waits() -> None:
    lookout, ids = at_rest(), [ObjectId(), ObjectId()]
    assert lookout.hint(ids, ["mail"], forced=False, later=False)
    assert lookout.pop_hinted() == ids
    assert lookout.pop_hinted() == []
    assert not lookout.more
    assert lookout.queues == ["mail"]


def test_many_new_jobs_or_ones_for_later_are_searched_for() -> None:
    for ids, later in (([ObjectId() for _ in range(5)], False), ([ObjectId()], True)):
        lookout = at_rest()
        lookout.hint(ids, ["mail"], forced=False, later=later)
        assert lookout.pop_hinted() == []
        assert lookout.more


def test_a_backlog_is_searched_and_not_named() -> None:
    lookout = at_rest()
    lookout.found(jobs(3), 3)
    lookout.hint([ObjectId()], ["default"], forced=False, later=False)
    assert lookout.pop_hinted() == []


def test_jobs_of_queues_that_are_not_served_are_not_news() -> None:
    lookout = at_rest("mail")
    assert not lookout.hint([ObjectId()], ["copy"], forced=True, later=False)
    assert not lookout.more
    assert not lookout.pop_forced()
    assert lookout.hint([ObjectId()], ["copy", "mail"], forced=True, later=False)
    assert lookout.queues == ["mail"]
    assert lookout.pop_forced()


def test_a_full_look_at_one_place_is_continued_there() -> None:
    lookout, found = at_rest(), jobs(3)
    lookout.found(found, 3)
    assert lookout.cursor == Cursor("default", 0, found[-1]["at"], found[-1]["_id"])
    lookout.found(jobs(2), 3)
    assert lookout.cursor is None


def test_a_look_at_several_places_is_not_continued() -> None:
    lookout = at_rest()
    lookout.found([*jobs(1, priority=1), *jobs(1)], 2)
    assert lookout.cursor is None
    lookout.found([*jobs(1, queue="a"), *jobs(1, queue="b")], 2)
    assert lookout.cursor is None


def test_looking_everywhere_begins_at_the_head() -> None:
    lookout = at_rest()
    lookout.found(jobs(3), 3)
    lookout.look_everywhere()
    assert lookout.begin_everywhere()
    assert lookout.cursor is None


def test_a_backlog_makes_news_useless_until_it_ends() -> None:
    lookout = at_rest()
    for _ in range(10):
        lookout.found(jobs(3), 3)
    assert not lookout.idle.is_set()
    lookout.found(jobs(2), 3)
    assert lookout.idle.is_set()


def test_news_that_come_during_a_look_are_not_forgotten_when_it_finds_nothing() -> None:
    """They may be about jobs that were stored a moment after it."""
    lookout = Search(())
    lookout.begin_everywhere()
    lookout.hint([ObjectId()], ["default"], forced=False, later=False)
    lookout.found([], 3)
    assert lookout.more
    lookout.begin_everywhere()
    lookout.found([], 3)
    assert not lookout.more


def test_queues_without_jobs_are_forgotten_at_the_next_look_everywhere() -> None:
    lookout = at_rest()
    lookout.know(["one", "two"])
    assert lookout.queues == ["one", "two"]
    lookout.look_everywhere()
    lookout.begin_everywhere()
    lookout.know(["two"])
    assert lookout.queues == ["two"]
    served = at_rest("mail", "copy")
    served.look_everywhere()
    served.begin_everywhere()
    assert served.queues == ["copy", "mail"]
