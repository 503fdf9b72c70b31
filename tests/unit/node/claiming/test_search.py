"""Where a node looks for jobs next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from tests.unit.node.fakes import FakeClock

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
    search = Search(served)
    search.begin_everywhere()
    search.pop_forced()
    search.found([], 1)
    return search


def test_the_first_look_is_everywhere() -> None:
    search = Search([])
    assert search.more
    assert search.begin_everywhere()
    assert search.pop_forced()
    assert not search.begin_everywhere()


def test_a_few_new_jobs_are_named_where_nothing_else_waits() -> None:
    search, ids = at_rest(), [ObjectId(), ObjectId()]
    assert search.hint(ids, ["mail"], forced=False, later=False)
    assert search.pop_hinted() == ids
    assert search.pop_hinted() == []
    assert not search.more
    assert search.queues == ["mail"]


def test_many_new_jobs_or_ones_for_later_are_searched_for() -> None:
    for ids, later in (([ObjectId() for _ in range(5)], False), ([ObjectId()], True)):
        search = at_rest()
        search.hint(ids, ["mail"], forced=False, later=later)
        assert search.pop_hinted() == []
        assert search.more


def test_a_backlog_is_searched_and_not_named() -> None:
    search = at_rest()
    search.found(jobs(3), 3)
    search.hint([ObjectId()], ["default"], forced=False, later=False)
    assert search.pop_hinted() == []


def test_jobs_of_queues_that_are_not_served_are_not_news() -> None:
    search = at_rest("mail")
    assert not search.hint([ObjectId()], ["copy"], forced=True, later=False)
    assert not search.more
    assert not search.pop_forced()
    assert search.hint([ObjectId()], ["copy", "mail"], forced=True, later=False)
    assert search.queues == ["mail"]
    assert search.pop_forced()


def test_a_full_look_at_one_place_is_continued_there() -> None:
    search, found = at_rest(), jobs(3)
    search.found(found, 3)
    assert search.cursor == Cursor("default", 0, found[-1]["at"], found[-1]["_id"])
    search.found(jobs(2), 3)
    assert search.cursor is None


def test_a_full_look_is_continued_behind_urgent_jobs() -> None:
    """Else each urgent job has the next search pass over all that was taken from the head of the queue."""
    search, waiting = at_rest(), jobs(1)
    search.found([*jobs(1, priority=1), *waiting], 2)
    assert search.cursor == Cursor("default", 0, waiting[0]["at"], waiting[0]["_id"])


def test_a_look_at_several_queues_is_not_continued() -> None:
    search = at_rest()
    search.found([*jobs(1, queue="a"), *jobs(1, queue="b")], 2)
    assert search.cursor is None


def test_looking_everywhere_begins_at_the_head() -> None:
    search = at_rest()
    search.found(jobs(3), 3)
    search.look_everywhere()
    assert search.begin_everywhere()
    assert search.cursor is None


def test_a_backlog_makes_news_useless_until_it_ends() -> None:
    search = at_rest()
    for _ in range(10):
        search.found(jobs(3), 3)
    assert not search.idle.is_set()
    search.found(jobs(2), 3)
    assert search.idle.is_set()


def test_what_was_hinted_at_is_looked_for_at_the_head_when_the_search_behind_the_cursor_has_ended() -> None:
    """A job that waits again has its place before those that were found since it was added."""
    search = at_rest()
    search.found(jobs(3), 3)
    search.begin_everywhere()
    search.hint([ObjectId()], ["default"], forced=False, later=True)
    search.found(jobs(3), 3)
    assert not search.begin_everywhere()
    search.found(jobs(1), 3)
    assert search.more
    assert search.begin_everywhere()
    assert search.cursor is None
    search.found(jobs(1), 3)
    assert not search.more, "once is enough"


def test_without_news_a_search_ends_behind_the_cursor() -> None:
    search = at_rest()
    search.hint([ObjectId()], ["default"], forced=False, later=True)
    search.begin_everywhere()
    search.found(jobs(3), 3)
    search.begin_everywhere()
    search.found(jobs(1), 3)
    assert not search.more


def test_fast_flows_make_news_useless_and_other_jobs_are_looked_for_now_and_then_instead() -> None:
    clock = FakeClock()
    search = Search((), clock)
    search.begin_everywhere()
    search.found([], 1)
    for _ in range(3):
        clock.seconds += 0.125
        search.followed(100)
    assert not search.idle.is_set()
    assert not search.has_backlog
    assert search.is_look_due()
    assert not search.is_look_due(), "it is too early for another look"
    clock.seconds += 1.0
    assert search.is_look_due()
    search.check_pace()
    assert search.idle.is_set(), "nothing has followed for a second"


def test_slow_flows_leave_a_node_to_its_news() -> None:
    clock = FakeClock()
    search = Search((), clock)
    for _ in range(100):
        clock.seconds += 0.1
        search.followed(10)
    assert search.idle.is_set()
    assert not search.is_look_due()


def test_news_that_come_during_a_look_are_not_forgotten_when_it_finds_nothing() -> None:
    """They may be about jobs that were stored a moment after it."""
    search = Search(())
    search.begin_everywhere()
    search.hint([ObjectId()], ["default"], forced=False, later=False)
    search.found([], 3)
    assert search.more
    search.begin_everywhere()
    search.found([], 3)
    assert not search.more


def test_queues_without_jobs_are_forgotten_at_the_next_look_everywhere() -> None:
    search = at_rest()
    search.know(["one", "two"])
    assert search.queues == ["one", "two"]
    search.look_everywhere()
    search.begin_everywhere()
    search.know(["two"])
    assert search.queues == ["two"]
    served = at_rest("mail", "copy")
    served.look_everywhere()
    served.begin_everywhere()
    assert served.queues == ["copy", "mail"]
