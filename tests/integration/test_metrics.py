"""What nodes count is stored once, whatever happens to the write, and read back in few documents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database
from pymongo.errors import AutoReconnect, BulkWriteError
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

from taskscheduler import AsyncScheduler, InvalidOptionError, Scheduler, Status
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.metrics.counts import Room, Sample, Series
from taskscheduler.model.metrics.steps import DAY, HOUR, MINUTE
from taskscheduler.model.metrics.tally import Portion
from taskscheduler.operations.metrics import BY

Documents = Database[dict[str, Any]]
StartNode = Callable[..., NodeProcess]

HOSTILE = "a.b$c{x}"  # none of it may be taken for a path, an operator or an expression


def portion(at: datetime, number: int, *series: Series, ending: Ending = Ending.SUCCEEDED) -> Portion:
    made = Portion(MINUTE.begins(at))
    made.number = number
    for one in series:
        made.add(Sample(one, ending, 0.02, 3.0, Status.DONE if ending is Ending.SUCCEEDED else Status.FAILED))
    return made


def ended(scheduler: Scheduler, **which: Any) -> int:
    """How many jobs have ended in the last minutes."""
    return sum(point.ended for point in scheduler.metrics.points(600, **which))


MAIL, SLOW, ODD = Series("Mail", "default"), Series("Mail", "slow"), Series(HOSTILE, "default")


def test_portions_of_many_nodes_become_one_minute_and_one_hour(scheduler: Scheduler, database: Documents) -> None:
    metrics, now = scheduler.store.metrics, scheduler.store.clock.now()
    for number in (1, 2):
        for boot in (ObjectId(), ObjectId()):
            metrics.add(boot, portion(now, number, MAIL, SLOW, ODD))
    assert sorted(document["_id"] for document in database["taskscheduler.metrics"].find()) == [
        HOUR.key(HOUR.begins(now)),
        MINUTE.key(MINUTE.begins(now)),
    ]
    (minute,) = [point for point in scheduler.metrics.points(600) if point.ended]
    assert (minute.ended, minute.wait.count, minute.run.sum) == (12, 12, 36.0)
    (hour,) = [point for point in scheduler.metrics.points(600, step=3600) if point.ended]
    assert hour.counts.outcomes == minute.counts.outcomes
    assert [(row.name, row.ended) for row in scheduler.metrics.totals()] == [("Mail", 8), (HOSTILE, 4)]
    assert [(row.name, row.ended) for row in scheduler.metrics.totals("queue")] == [("default", 8), ("slow", 4)]
    assert [ended(scheduler, job=HOSTILE), ended(scheduler, queue="slow")] == [4, 4]
    assert ended(scheduler, job="Mail", queue="slow") == 4
    assert metrics.room(HOUR.begins(now)).series == {MAIL, SLOW, ODD}
    assert metrics.room(HOUR.begins(now - timedelta(days=1))).series == Room().series


def test_a_portion_that_is_repeated_counts_once(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if only one of its two documents had it, and if a later portion came in between."""
    metrics, now, boot = scheduler.store.metrics, scheduler.store.clock.now(), ObjectId()
    first, second = portion(now, 1, MAIL), portion(now, 2, MAIL)
    written = metrics._collection.bulk_write

    def cut(updates: list[Any], **options: Any) -> None:
        written(updates[:1], **options)
        raise AutoReconnect("cut after the first document")

    with monkeypatch.context() as context:
        context.setattr(metrics._collection, "bulk_write", cut)
        with pytest.raises(AutoReconnect):
            metrics.add(boot, first)
    for one in (first, first, second, first, second):
        metrics.add(boot, one)
    assert ended(scheduler) == 2
    assert ended(scheduler, step=3600) == 2


def test_a_minute_that_another_node_inserts_at_the_same_time_gets_both(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server answers the slower one with a duplicate key, as for a portion that is there already."""
    metrics, now = scheduler.store.metrics, scheduler.store.clock.now()
    metrics.add(ObjectId(), portion(now, 1, MAIL))
    stored, bulk_write = metrics._collection, metrics._collection.bulk_write
    of_another = stored.find().to_list()
    stored.delete_many({})

    def too_late(updates: list[Any], **options: Any) -> None:
        monkeypatch.setattr(stored, "bulk_write", bulk_write)
        stored.insert_many(of_another)
        raise BulkWriteError({"writeErrors": [{"index": index, "code": 11000} for index in range(len(updates))]})

    monkeypatch.setattr(stored, "bulk_write", too_late)
    metrics.add(ObjectId(), portion(now, 1, MAIL))
    assert ended(scheduler) == 2
    assert ended(scheduler, step=3600) == 2


def test_the_server_deletes_minutes_and_hours_when_they_are_too_old(scheduler: Scheduler, database: Documents) -> None:
    now = scheduler.store.clock.now()
    scheduler.store.metrics.add(ObjectId(), portion(now, 1, MAIL))
    stored = database["taskscheduler.metrics"]
    assert stored.index_information()["retention"]["expireAfterSeconds"] == 0
    kept = {document["_id"].split()[0]: document["expires"].replace(tzinfo=UTC) for document in stored.find()}
    assert kept["minute"] - MINUTE.begins(now) == timedelta(hours=72, minutes=1)
    assert kept["hour"] - HOUR.begins(now) == timedelta(days=90, hours=1)


def test_every_read_is_served_by_the_index_of_ids(scheduler: Scheduler, database: Documents) -> None:
    now = scheduler.store.clock.now()
    for minute in range(50):
        scheduler.store.metrics.add(ObjectId(), portion(now - timedelta(minutes=minute), 1, MAIL))
    database.command("profile", 2)
    scheduler.metrics.points(300)
    scheduler.metrics.points(300, job="Mail")
    database.command("profile", 0)
    reads = database["system.profile"].find(
        {"ns": f"{database.name}.taskscheduler.metrics", "docsExamined": {"$gt": -1}}
    )
    examined = [(entry["planSummary"], entry["docsExamined"]) for entry in reads]
    assert len(examined) == 2
    assert all(plan == "IXSCAN { _id: 1 }" and count <= 6 for plan, count in examined), examined


def test_past_days_are_read_from_one_document_each_and_count_the_same(
    scheduler: Scheduler, database: Documents
) -> None:
    metrics, now = scheduler.store.metrics, scheduler.store.clock.now()
    for days in range(6):
        for hours, jobs in ((1, (MAIL, SLOW)), (2, (MAIL, ODD))):
            metrics.add(ObjectId(), portion(now - timedelta(days=days, hours=hours), 1, *jobs))

    def read() -> list[Any]:
        points = [scheduler.metrics.points(7 * 86_400, step=86_400, job=job) for job in (None, "Mail")]
        rows = [scheduler.metrics.totals(by, 7 * 86_400, queue=queue) for by in BY for queue in (None, "slow")]
        return [[(getattr(one, "at", ""), getattr(one, "name", ""), _counted(one)) for one in e] for e in points + rows]

    unfolded, stored = read(), database["taskscheduler.metrics"]
    assert metrics.fold_a_day(now)
    assert read() == unfolded
    while metrics.fold_a_day(now):
        pass
    assert read() == unfolded
    folded = {document["_id"] for document in stored.find({"_id": {"$regex": "^day "}})}
    today = DAY.begins(now)
    assert folded >= {DAY.key(today - timedelta(days=number)) for number in (2, 3, 4, 5)}
    assert not any(day >= DAY.key(today - timedelta(days=1)) for day in folded)
    stored.delete_many({"_id": {"$regex": "^hour ", "$lt": HOUR.key(today - timedelta(days=1))}})
    assert read() == unfolded  # the days alone tell it


def _counted(one: Any) -> tuple[Any, ...]:
    return (one.outcomes, one.wait.buckets, one.run.buckets, round(one.run.sum, 6))


def test_past_hours_are_added_up_once_and_anew_when_a_portion_is_late(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, now = scheduler.store.metrics, scheduler.store.clock.now()
    past, seen = now - timedelta(hours=3), list[list[str]]()
    metrics.add(ObjectId(), portion(past, 1, MAIL, SLOW))
    metrics.add(ObjectId(), portion(now, 1, MAIL))
    real = metrics.read_series

    def read_series(*asked: Any) -> list[dict[str, Any]]:
        found = real(*asked)
        seen.append([one["_id"] for one in found])
        return found

    monkeypatch.setattr(metrics, "read_series", read_series)

    def total(**which: Any) -> list[int]:
        seen.clear()
        return [row.ended for row in scheduler.metrics.totals(since=HOUR.begins(past), **which)]

    hour = HOUR.key(HOUR.begins(past))
    assert (total(), [hour] in seen) == ([3], True)
    assert (total(), [hour] in seen) == ([3], False)
    assert total(queue="slow") == [1]
    metrics.add(ObjectId(), portion(past, 1, SLOW))
    assert (total(), [hour] in seen) == ([4], True)
    assert total(queue="slow") == [2]


def test_nodes_that_fold_a_day_at_once_store_it_once(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, now = scheduler.store.metrics, scheduler.store.clock.now()
    metrics.add(ObjectId(), portion(now - timedelta(days=4), 1, MAIL))
    insert = metrics._collection.insert_one

    def after_another(document: Any) -> None:
        insert({**document})
        insert(document)

    with monkeypatch.context() as context:
        context.setattr(metrics._collection, "insert_one", after_another)
        assert metrics.fold_a_day(now)
    assert not metrics.fold_a_day(now)
    assert [row.ended for row in scheduler.metrics.totals(since=7 * 86_400)] == [1]


def test_odd_documents_hide_no_other(scheduler: Scheduler, database: Documents) -> None:
    now = scheduler.store.clock.now()
    scheduler.store.metrics.add(ObjectId(), portion(now - timedelta(minutes=1), 1, MAIL))
    key = MINUTE.key(MINUTE.begins(now - timedelta(minutes=2)))
    odd_values: list[Any] = ["x", 5, {"a": 5}, {"a": {"job": 5}}, []]
    for odd in odd_values:
        database["taskscheduler.metrics"].replace_one({"_id": key}, {"total": odd, "series": odd}, upsert=True)
        assert [sum(point.ended for point in scheduler.metrics.points(240, job=job)) for job in (None, "Mail")] == [
            1,
            1,
        ]
        assert [row.name for row in scheduler.metrics.totals(since=240)] == ["Mail"]


def test_wrong_options_are_refused(scheduler: Scheduler) -> None:
    for given, text in (
        ({"since": "1h"}, "option since must be an aware datetime, or seconds"),
        ({"since": 10**9}, "minutes are kept for|more than|option since"),
        ({"step": 90}, "whole minutes below an hour"),
        ({"step": "x"}, "option step must be"),
        ({"queue": "A B"}, "option queue"),
    ):
        with pytest.raises(InvalidOptionError, match=text):
            scheduler.metrics.points(**given)
    for given, text in (({"by": "node"}, 'by must be "job" or "queue"'), ({"limit": 0}, "option limit")):
        with pytest.raises(InvalidOptionError, match=text):
            scheduler.metrics.totals(**given)


async def _of_an_event_loop(uri: str) -> tuple[int, list[str]]:
    async with AsyncScheduler(uri) as scheduler:
        points, rows = await scheduler.metrics.points(600), await scheduler.metrics.totals()
        return sum(point.ended for point in points), [row.name for row in rows]


def test_a_node_counts_its_jobs_and_stores_them_as_it_stops(
    scheduler: Scheduler, start_node: StartNode, uri: str
) -> None:
    never = "from taskscheduler_daemon.node.maintenance import metrics_writer; metrics_writer._EVERY = 3600.0, 3600.0"
    node = start_node(late=never)
    done = scheduler.add_jobs(["noop"] * 20)
    failed = scheduler.add_job("fail", retry=1, retry_interval=0)
    scheduler.wait_for([*done, failed], timeout=60)
    node.stop()
    found = {row.name: row for row in scheduler.metrics.totals()}
    assert {name: count for name, count in found["noop"].outcomes.items() if count} == {"done": 20}
    assert {name: count for name, count in found["fail"].outcomes.items() if count} == {"failed": 1, "retried": 1}
    assert (found["noop"].wait.count, found["noop"].run.count) == (20, 20)
    median = found["noop"].wait.quantile(0.5)
    assert median is not None
    assert 0 < median < 30
    assert asyncio.run(_of_an_event_loop(uri)) == (21, ["noop", "fail"])


@pytest.mark.faults
def test_a_node_stores_what_it_counts_every_ten_seconds(scheduler: Scheduler, start_node: StartNode) -> None:
    start_node()
    scheduler.wait_for(scheduler.add_jobs(["noop"] * 20), timeout=60)
    eventually(lambda: ended(scheduler) == 20, 30, "the counts")
