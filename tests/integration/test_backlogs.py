"""The backlogs of queues: all jobs of a few queues are counted, and of many long ones as many as there is time for."""

from __future__ import annotations

import pytest
from tests.support.jobs import Noop

from taskscheduler import Scheduler
from taskscheduler.store import backlogs
from taskscheduler.store.backlogs import BacklogReader


def read(scheduler: Scheduler) -> list[tuple[str, int, bool]]:
    found = BacklogReader(scheduler.store.jobs.collection).first()
    assert all(0 <= one.oldest < 600 for one in found)
    return [(one.queue, one.waiting, one.is_complete) for one in found]


def add(scheduler: Scheduler, **queues: int) -> None:
    jobs = [(Noop, None, {"queue": queue}) for queue, count in queues.items() for _ in range(count)]
    scheduler.add_jobs(jobs)


def test_nothing_waits(scheduler: Scheduler) -> None:
    assert read(scheduler) == []


def test_long_queues_share_what_is_counted(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlogs, "_FIRST", 2)
    monkeypatch.setattr(backlogs, "CAP", 6)
    add(scheduler, a=1, b=9, c=2)
    assert read(scheduler) == [("a", 1, True), ("b", 7, False), ("c", 2, True)]
    add(scheduler, d=5, e=20)
    assert read(scheduler) == [("a", 1, True), ("b", 5, False), ("c", 2, True), ("d", 5, False), ("e", 5, False)]


def test_a_long_queue_is_counted_to_its_end(scheduler: Scheduler) -> None:
    add(scheduler, mail=backlogs._FIRST + 7, files=3)
    assert read(scheduler) == [("files", 3, True), ("mail", backlogs._FIRST + 7, True)]


def test_names_of_queues_may_be_anything(scheduler: Scheduler) -> None:
    for name in ("$name", "next", "\U0001f4e8", ["a", "b"]):
        job_id = scheduler.add_job(Noop).id
        scheduler.store.jobs.collection.update_one({"_id": job_id}, {"$set": {"queue": name}})
    assert [one[0] for one in read(scheduler)] == ["$name", "a", "b", "next", "\U0001f4e8"]
