"""The backlogs of queues: all jobs of a few queues are counted, and of many long ones as many as there is time for."""

from __future__ import annotations

import pytest
from tests.support.jobs import Noop

from taskscheduler import Scheduler
from taskscheduler.store.counts import by_key, one_by_one, shares
from taskscheduler.store.counts.keys import KeyCounts
from taskscheduler.store.counts.one_by_one import BacklogsOneByOne
from taskscheduler.store.counts.queues import read_backlogs
from taskscheduler.store.counts.shares import FIRST


def read(scheduler: Scheduler) -> list[tuple[str, int, bool]]:
    """What either way to count finds."""
    jobs = scheduler.store.jobs.collection
    found, slow = read_backlogs(jobs, KeyCounts(jobs)), BacklogsOneByOne(jobs).first()
    assert all(0 <= one.oldest < 600 for one in found)
    assert [one.oldest for one in found] == [pytest.approx(one.oldest, abs=60) for one in slow]
    counted, slowly = ([(one.queue, one.waiting, one.is_complete) for one in some] for some in (found, slow))
    assert counted == slowly
    return counted


def add(scheduler: Scheduler, **queues: int) -> None:
    jobs = [(Noop, None, {"queue": queue}) for queue, count in queues.items() for _ in range(count)]
    scheduler.add_jobs(jobs)


def test_nothing_waits(scheduler: Scheduler) -> None:
    assert read(scheduler) == []


def test_long_queues_share_what_is_counted(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (by_key, one_by_one, shares):
        monkeypatch.setattr(one, "FIRST", 2)
    monkeypatch.setattr(shares, "CAP", 6)
    monkeypatch.setattr(by_key, "_AT_ONCE", 4)
    add(scheduler, a=1, b=9, c=2)
    assert read(scheduler) == [("a", 1, True), ("b", 7, False), ("c", 2, True)]
    add(scheduler, d=5, e=20)
    assert read(scheduler) == [("a", 1, True), ("b", 5, False), ("c", 2, True), ("d", 5, False), ("e", 5, False)]


def test_a_long_queue_is_counted_to_its_end(scheduler: Scheduler) -> None:
    add(scheduler, mail=FIRST + 7, files=3)
    assert read(scheduler) == [("files", 3, True), ("mail", FIRST + 7, True)]


def test_names_of_queues_may_be_anything(scheduler: Scheduler) -> None:
    for name in ("$name", "next", "\U0001f4e8", ["a", "b"]):
        job_id = scheduler.add_job(Noop).id
        scheduler.store.jobs.collection.update_one({"_id": job_id}, {"$set": {"queue": name}})
    assert [one[0] for one in read(scheduler)] == ["$name", "a", "b", "next", "\U0001f4e8"]
