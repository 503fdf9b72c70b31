"""Dead letters: failed jobs are counted by mistake, a retry takes them out, and others cost nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from tests.support.jobs import Noop
from tests.support.mistakes import Mistaken, mistaken
from tests.support.nodes import NodeProcess

from taskscheduler import AsyncScheduler, Scheduler, Status
from taskscheduler.model.failures import Failure, fingerprint_of
from taskscheduler.store.counts import failures
from taskscheduler.testing import InlineNode

Documents = Database[dict[str, Any]]


def run(scheduler: Scheduler) -> None:
    with InlineNode(scheduler) as node:
        node.run_due()


def counts(found: list[Failure]) -> dict[tuple[str, str | None], int]:
    """How many jobs there are of each class and function."""
    return {(one.job, one.place and one.place.partition(" in ")[2]): one.count for one in found}


def entries(database: Documents, index: str) -> int:
    return int(database.command("validate", "taskscheduler.jobs")["keysPerIndex"][index])


def test_jobs_that_failed_by_one_mistake_are_one_row(scheduler: Scheduler) -> None:
    for number in (0, 3, 6, 9, 1, 4, 2):
        scheduler.add_job(Mistaken, number)
    last = scheduler.add_job(mistaken, 5)
    run(scheduler)
    rows = scheduler.failures()
    assert [(one.job, one.type, one.count) for one in rows] == [
        ("mistaken", "ValueError", 4),
        ("mistaken", "ValueError", 2),
        ("mistaken-async", "KeyError", 1),
    ]
    assert [one.place for one in rows] == [
        "mistakes.py:15 in Mistaken.start",
        "mistakes.py:17 in Mistaken.start",
        "mistakes.py:22 in mistaken",
    ]
    often, _, once = rows
    assert often.message in {"bad 0", "bad 3", "bad 6", "bad 9"}
    assert often.first < often.last
    example = scheduler.get_job(often.example)
    assert (example.ended, example.fingerprint) == (often.last, often.fingerprint)
    assert (example.error or {})["message"] == often.message
    assert (once.example, once.first, once.last) == (last.id, last.refresh().ended, last.ended)
    found = scheduler.get_jobs({"fingerprint": often.fingerprint})
    assert sorted(process.data for process in found) == [0, 3, 6, 9]


def test_counts_of_many_jobs_end_at_a_limit(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = scheduler.store.jobs.collection
    numbers = {"aaaaaaaaaaaa": 2, "bbbbbbbbbbbb": 9, "cccccccccccc": 3, "dddddddddddd": 20}
    for fingerprint, number in numbers.items():
        common = {"class": "mail", "status": int(Status.FAILED), "fingerprint": fingerprint, "ended": datetime.now(UTC)}
        jobs.insert_many([{"_id": ObjectId(), **common} for _ in range(number)])
    assert {one.fingerprint: one.count for one in scheduler.failures() if one.is_complete} == numbers
    monkeypatch.setattr(failures, "FIRST", 3)
    monkeypatch.setattr(failures, "CAP", 8)
    monkeypatch.setattr(failures, "share", lambda number: {2: 10}[number])
    found = [(one.fingerprint[0], one.count, one.is_complete) for one in scheduler.failures()]
    assert found == [("d", 11, False), ("b", 9, True), ("c", 3, True), ("a", 2, True)]


def test_rows_are_those_of_a_class_a_time_and_a_number(scheduler: Scheduler) -> None:
    for number in (0, 3, 1):
        scheduler.add_job(Mistaken, number)
    scheduler.add_job(mistaken, 5)
    run(scheduler)
    rows = scheduler.failures()
    jobs = scheduler.store.jobs.collection
    jobs.update_one({"data": 0}, {"$set": {"ended": datetime.now(UTC) - timedelta(hours=2)}})
    jobs.update_one({"data": 1}, {"$set": {"ended": datetime.now(UTC) - timedelta(hours=3)}})
    assert {one.job for one in scheduler.failures(job=Mistaken)} == {"mistaken"}
    assert scheduler.failures(job="nobody") == []
    for since in (3600, timedelta(hours=1), datetime.now(UTC) - timedelta(hours=1)):
        assert counts(scheduler.failures(since)) == {
            ("mistaken", "Mistaken.start"): 1,
            ("mistaken-async", "mistaken"): 1,
        }
    assert [one.count for one in scheduler.failures()] == [2, 1, 1]
    assert scheduler.failures(3600, Mistaken)[0].first < datetime.now(UTC) - timedelta(hours=1)
    assert [one.job for one in scheduler.failures(limit=1)] == ["mistaken-async"]
    assert len(rows) == 3

    async def same() -> list[Failure]:
        async with AsyncScheduler.of(scheduler) as twin:
            return await twin.failures(since=3600)

    assert asyncio.run(same()) == scheduler.failures(3600)


def test_a_retry_takes_a_job_out_and_a_new_failure_puts_it_back(scheduler: Scheduler, database: Documents) -> None:
    several = [scheduler.add_job(Mistaken, number) for number in (0, 3)]
    run(scheduler)
    again = scheduler.retry_job(several[0].id)
    assert [one.count for one in scheduler.failures()] == [1]
    assert again.refresh().fingerprint is None
    assert entries(database, "failures") == 1
    database["taskscheduler.jobs"].update_one({"_id": again.id}, {"$set": {"data": 2}})
    run(scheduler)
    assert again.refresh().status is Status.DONE
    assert again.fingerprint is None
    assert (again.attempts[0]["error"] or {})["place"] == "mistakes.py:15 in Mistaken.start"
    scheduler.retry_job(several[1].id)
    run(scheduler)
    assert [one.count for one in scheduler.failures()] == [1]


def test_only_dead_letters_have_a_fingerprint(scheduler: Scheduler, database: Documents) -> None:
    done, retried = scheduler.add_job(Mistaken, 2), scheduler.add_job(Mistaken, 3, retry=1)
    canceled = scheduler.add_job(Noop, at=timedelta(hours=1))
    canceled.cancel()
    run(scheduler)
    assert retried.refresh().status is Status.POSTPONED
    assert (retried.error or {})["place"] == "mistakes.py:15 in Mistaken.start"
    for process in (done, retried, canceled):
        assert "fingerprint" not in process.refresh().to_dict()
    assert (scheduler.failures(), entries(database, "failures")) == ([], 0)


def test_what_fails_without_a_line_of_its_code_is_counted_too(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess]
) -> None:
    start_node(max_lost=1, unknown_timeout=0)
    late = [scheduler.add_job("wait", {"seconds": 60}, timeout=0.2) for _ in range(2)]
    crashed = [scheduler.add_job("segfault"), scheduler.add_job("nobody knows")]
    parent = scheduler.add_job("wait", {"seconds": 60})
    child = scheduler.add_job("fail", parent=parent.id)
    with scheduler.track("program") as record:
        record.fail("it broke")
    odd = scheduler.add_job("noop", at=timedelta(hours=1))
    scheduler.store.jobs.collection.update_one({"_id": odd.id}, {"$set": {"status": 0, "priority": "high"}})
    scheduler.wait_for([*late, *crashed, parent, child, odd], timeout=60)
    found = scheduler.failures()
    assert {one.fingerprint for one in found if one.place is None} == {
        fingerprint_of({"type": one.type}, one.job) for one in found if one.place is None
    }
    rows = {(one.job, one.type): (one.count, one.place) for one in found}
    assert rows.pop(("fail", "ValueError"))[1]
    assert rows == {
        ("wait", "JobTimeoutError"): (2, None),
        ("segfault", "PoisonedJobError"): (1, None),
        ("nobody knows", "InvalidJobError"): (1, None),
        ("wait", "ChildJobError"): (1, None),
        ("program", "ProgramError"): (1, None),
        ("noop", "InvalidDocumentError"): (1, "field priority"),
    }


def test_what_others_end_is_known_by_its_class(scheduler: Scheduler) -> None:
    """The loss of a node, and the silence of a program: nobody has the whole job at hand then."""
    jobs = scheduler.store.jobs.collection
    for name in ("lost", "lost too"):
        process, boot = scheduler.add_job(name), ObjectId()
        scheduler.store.claims.claim([process.id], "claim", boot, "gone")
        jobs.update_one({"_id": process.id}, {"$set": {"lost": 2, "worker": "some worker"}})
    for name in ("silent", "silent too"):
        record = scheduler.track(name, timeout=60).start()
        jobs.update_one({"_id": record.id}, {"$set": {"alive": datetime.now(UTC) - timedelta(hours=1)}})
    assert scheduler.restore() == 0
    assert len(scheduler.end_silent()) == 2
    rows = scheduler.failures()
    assert {one.fingerprint for one in rows} == {
        *(fingerprint_of({"type": "PoisonedJobError"}, name) for name in ("lost", "lost too")),
        *(fingerprint_of({"type": "SilenceError"}, name) for name in ("silent", "silent too")),
    }


def test_an_odd_document_hides_no_other(scheduler: Scheduler, database: Documents) -> None:
    scheduler.add_job(Mistaken, 0)
    run(scheduler)
    [row] = scheduler.failures()
    odd: list[dict[str, Any]] = [
        {"_id": "text", "fingerprint": row.fingerprint, "ended": "never"},
        {"_id": 1, "fingerprint": ["a", "b"], "ended": datetime.now(UTC)},
        {"_id": 2, "fingerprint": 7, "ended": datetime.now(UTC)},
        {"_id": ObjectId(), "fingerprint": "z", "ended": datetime.now(UTC), "class": 5, "error": {"type": ["x"]}},
    ]
    database["taskscheduler.jobs"].insert_many(odd)
    found = {one.fingerprint: one for one in scheduler.failures()}
    assert found[row.fingerprint] == row
    assert (found["z"].job, found["z"].type, found["z"].place) == ("", "", None)
