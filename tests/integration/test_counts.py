"""Jobs are counted by the keys of the index of their status, and by a query where that index is another one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bson import ObjectId, encode
from bson.raw_bson import RawBSONDocument
from tests.support.claiming import SettableClock
from tests.support.jobs import Noop
from tests.support.replicaset import ReplicaSet

from taskscheduler import Scheduler, Status
from taskscheduler.model.lenient import Unreadable
from taskscheduler.model.payload import CODEC
from taskscheduler.store.counts import keys
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler.store.counts.keys import KeyCounts
from taskscheduler.store.counts.queues import read_backlogs
from taskscheduler.store.job_lists import CAP
from taskscheduler.store.overview import ClusterOverview

NOW = datetime(2030, 1, 1, tzinfo=UTC)

COUNTED = {Status.WAITING: 3, Status.POSTPONED: 2, Status.DONE: 4, Status.FAILED: 1, Status.CANCELED: 0}

ENDED = {Status.DONE: 2, Status.FAILED: 1, Status.CANCELED: 0}  #: of them, within the hour


@pytest.fixture
def filled(scheduler: Scheduler) -> Scheduler:
    """As many jobs in each status, of which some ended long ago."""
    jobs = scheduler.store.jobs.collection
    for status, number in COUNTED.items():
        for one in range(number):
            ended = {"ended": NOW - timedelta(minutes=40 * one)} if status.is_final else {}
            job = {"_id": ObjectId(), "class": "noop", "queue": "default", "status": int(status), "at": NOW, **ended}
            jobs.insert_one(job)
    return scheduler


def check(scheduler: Scheduler) -> None:
    counts = KeyCounts(scheduler.store.jobs.collection)
    assert counts.of(COUNTED) == COUNTED
    assert {one: counts.ended_since(one, NOW - timedelta(hours=1)) for one in ENDED} == ENDED


def narrow(scheduler: Scheduler) -> None:
    """Somebody has made the indexes anew, with another condition."""
    for name, status in (("claim", Status.WAITING), ("retention_done", Status.DONE)):
        scheduler.store.jobs.collection.drop_index(name)
        other = {"status": int(status), "queue": "mail"}
        scheduler.store.jobs.collection.create_index([("ended", 1)], name=name, partialFilterExpression=other)


WAYS: dict[str, Callable[[Scheduler], object]] = {
    "all indexes": lambda scheduler: None,
    "none": lambda scheduler: scheduler.store.jobs.collection.drop_indexes(),
    "others": narrow,
}


@pytest.mark.parametrize("way", WAYS)
def test_jobs_are_counted(filled: Scheduler, way: str) -> None:
    WAYS[way](filled)
    check(filled)


def test_jobs_are_counted_while_an_index_is_dropped(filled: Scheduler) -> None:
    counts = KeyCounts(filled.store.jobs.collection)
    assert counts.has("claim")
    filled.store.jobs.collection.drop_indexes()
    assert counts.of([Status.WAITING]) == {Status.WAITING: 3}


def test_counts_have_a_limit(filled: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "CAP", 1)
    monkeypatch.setattr(keys, "_FEW", 1)
    counts = KeyCounts(filled.store.jobs.collection)
    assert counts.of([Status.WAITING, Status.FAILED]) == {Status.WAITING: 2, Status.FAILED: 1}
    assert counts.ended_since(Status.DONE, NOW - timedelta(hours=2)) == 2
    assert counts.ended_since(Status.FAILED, NOW - timedelta(hours=2)) == 1


def test_a_count_that_has_reached_its_limit_is_made_again_some_seconds_later(
    filled: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "CAP", 1)
    monkeypatch.setattr(keys, "_FEW", 1)
    jobs, clock = filled.store.jobs.collection, SettableClock()
    counts = KeyCounts(jobs, clock)

    def counted() -> tuple[int, int, int]:
        found = counts.of([Status.WAITING, Status.FAILED])
        since = NOW - timedelta(hours=2, seconds=clock.seconds)
        return found[Status.WAITING], found[Status.FAILED], counts.ended_since(Status.DONE, since, "2 h")

    assert counted() == (2, 1, 2)
    assert counts.ended_since(Status.DONE, NOW - timedelta(minutes=1), "1 min") == 1, "another time"
    jobs.delete_many({})
    assert counted() == (2, 0, 2), "few are counted at any time"
    clock.pause(5.1)
    assert counted() == (0, 0, 0)


@pytest.mark.parametrize(("number", "expected"), [(CAP, 3), (CAP + 1, CAP + 1)])
def test_waiting_jobs_are_not_counted_if_the_backlogs_are_too_long(
    filled: Scheduler, number: int, expected: int
) -> None:
    overview = ClusterOverview(filled.store.database, filled.options)
    backlogs = [Backlog("files", number - 1, 0.0, is_complete=False), Backlog("mail", 1, 0.0)]
    found = overview.counts([Status.WAITING, Status.POSTPONED], backlogs)
    assert found == {Status.WAITING: expected, Status.POSTPONED: 2}


def test_queues_are_found_whose_names_cannot_be_read(scheduler: Scheduler) -> None:
    for name in ("mail", "post"):
        scheduler.add_job(Noop, queue=name)
    jobs, job = scheduler.store.jobs.collection, scheduler.add_job(Noop, queue="notext")
    stored = jobs.find_one({"_id": job.id})
    assert stored is not None
    jobs.delete_one({"_id": job.id})
    odd = encode(stored, codec_options=CODEC).replace(b"notext", b"no\xff\xfe\xfdt")
    jobs.insert_one(RawBSONDocument(odd))
    found = read_backlogs(jobs, KeyCounts(jobs))
    assert [(type(one.queue), one.waiting) for one in found] == [(str, 1), (Unreadable, 1), (str, 1)]


@pytest.mark.parametrize("command", ["count", "find"])
def test_a_connection_that_breaks_costs_a_second_try_as_other_reads(tmp_path: Path, command: str) -> None:
    with ReplicaSet(tmp_path, members=1, test_commands=True) as server, Scheduler(server.uri("counts")) as scheduler:
        scheduler.add_jobs([Noop] * 2)
        jobs = scheduler.store.jobs.collection
        broken = {"failCommands": [command], "closeConnection": True}
        server.fail_point(server.primary(), "failCommand", {"times": 1}, broken)
        assert KeyCounts(jobs).of([Status.WAITING]) == {Status.WAITING: 2}
        assert [(one.queue, one.waiting) for one in read_backlogs(jobs, KeyCounts(jobs))] == [("default", 2)]
