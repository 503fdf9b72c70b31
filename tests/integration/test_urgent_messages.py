"""What a node reads at the end of the message queue."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from tests.support.eventually import eventually
from tests.support.jobs import Noop
from tests.support.tables import table

from taskscheduler import Process, Scheduler
from taskscheduler.model.control.urgency import read_urgent
from taskscheduler.model.document import NewJob
from taskscheduler.store import wakeups
from taskscheduler.store.change_events import message_pipeline
from taskscheduler.store.change_feed import ChangeFeed
from taskscheduler.store.job_inserts import JobInserts
from taskscheduler.store.wakeups import MessageTail


class Reader:
    """Reads in a thread of its own, and keeps the ids of the jobs that are named."""

    def __init__(self, tail: MessageTail) -> None:
        self.tail, self.found, self.rounds = tail, list[ObjectId](), 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def _loop(self) -> None:
        while not self._stopped.is_set():
            messages = self.tail.next()
            self.found += [job.job_id for one in messages for job in read_urgent(one.get("urgent"))]
            self.rounds += 1

    @property
    def is_open(self) -> bool:
        cursor = self.tail._cursor
        return cursor is not None and cursor.alive and cursor.cursor_id not in (None, 0)

    def stop(self) -> None:
        self._stopped.set()
        self.tail.close()
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def messages(scheduler: Scheduler) -> Any:
    store = scheduler.store
    return store.database[store.options.job_queue]


@pytest.fixture
def reader(scheduler: Scheduler, messages: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.setattr(wakeups, "_FIRST_PAUSE", 0.01)
    reader = Reader(MessageTail(scheduler.store.database, scheduler.store.options))
    yield reader
    reader.stop()


def named(job_id: ObjectId) -> dict[str, Any]:
    return {"_id": ObjectId(), "urgent": [{"job": job_id, "queue": "default", "priority": 1}]}


def test_the_messages_from_now_on_are_read_and_those_about_urgent_jobs_alone(
    scheduler: Scheduler, reader: Reader, messages: Any
) -> None:
    eventually(lambda: reader.rounds > 1, 10, "an empty collection has no end to wait at")
    assert not reader.is_open
    messages.insert_one(named(ObjectId()))
    eventually(lambda: reader.is_open)
    scheduler.add_jobs([Noop] * 3)
    urgent = [scheduler.add_job(Noop, priority=priority).id for priority in (0, 1, -1, 2)]
    eventually(lambda: len(reader.found) == 2)
    assert set(reader.found) == {urgent[1], urgent[3]}


def test_those_that_are_there_already_are_not_read(scheduler: Scheduler, messages: Any) -> None:
    messages.insert_many([named(ObjectId()) for _ in range(150)])
    reader, job_id = Reader(MessageTail(scheduler.store.database, scheduler.store.options)), ObjectId()
    try:
        eventually(lambda: reader.is_open)
        messages.insert_one(named(job_id))
        eventually(lambda: reader.found)
        assert reader.found == [job_id]
    finally:
        reader.stop()


def test_a_reader_goes_on_after_the_collection_was_dropped(scheduler: Scheduler, reader: Reader, messages: Any) -> None:
    first, second = ObjectId(), ObjectId()
    messages.insert_one(named(ObjectId()))
    eventually(lambda: reader.is_open)
    messages.insert_one(named(first))
    eventually(lambda: reader.found == [first])
    messages.drop()
    scheduler.store.database.create_collection(messages.name, capped=True, size=4096)
    messages.insert_one(named(ObjectId()))
    eventually(lambda: reader.is_open)

    def is_read() -> bool:
        messages.insert_one(named(second))
        return second in reader.found

    eventually(is_read)


def test_a_message_that_cannot_be_decoded_hides_no_other(reader: Reader, messages: Any) -> None:
    messages.insert_one(named(ObjectId()))
    eventually(lambda: reader.is_open)
    proper = ObjectId()
    messages.insert_many([{"_id": ObjectId(), "urgent": 7, "text": "x"}, named(proper)])
    eventually(lambda: reader.found == [proper])


def test_rest_and_close_end_a_read_that_waits(reader: Reader, messages: Any) -> None:
    messages.insert_one(named(ObjectId()))
    eventually(lambda: reader.is_open)
    rounds = reader.rounds
    reader.tail.rest()
    eventually(lambda: reader.rounds > rounds)


def test_an_urgent_job_is_named_while_it_is_being_stored_and_once_it_is(
    scheduler: Scheduler, messages: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, seen = JobInserts.insert, list[Any]()

    def late(self: JobInserts, new: NewJob) -> None:
        seen.append(eventually(lambda: messages.find_one({"urgent.job": new.id}), 10, "it is named"))
        insert(self, new)

    monkeypatch.setattr(JobInserts, "insert", late)
    job = scheduler.add_job(Noop, priority=1)
    assert (seen[0]["jobs"], seen[0]["urgent"][0]["coming"]) == ([], True)
    stored = {"jobs": job.id, "urgent": {"$elemMatch": {"job": job.id, "coming": {"$exists": False}}}}
    eventually(lambda: messages.count_documents(stored) == 1)


@table(
    "asked", [{}, {"priority": 1, "id": ObjectId()}, {"priority": 1, "dedupe": True}, {"priority": 1, "limits": "x"}]
)
def test_no_other_job_is_named_before_it_is_stored(
    scheduler: Scheduler, messages: Any, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    """One whose id was chosen may be another job, and one that is compared may not be stored."""
    insert, wakeups = JobInserts.insert, scheduler.store.wakeups

    def late(self: JobInserts, new: NewJob) -> None:
        eventually(lambda: not wakeups._is_asked, 10, "a message that was asked for is on its way before all others")
        insert(self, new)

    monkeypatch.setattr(JobInserts, "insert", late)
    job = scheduler.add_job(Noop, **asked)
    wakes = scheduler.store.jobs.collection.count_documents({"_id": job.id, "wake": True, "priority": 0})
    assert wakes == (not asked), "nodes see its insert"
    eventually(lambda: messages.count_documents({"jobs": job.id}) == 1 - wakes)
    assert messages.count_documents({"jobs": []}) == 0


def test_nodes_that_follow_the_stream_do_not_hear_of_a_job_that_is_being_stored(scheduler: Scheduler) -> None:
    store = scheduler.store
    pipeline = message_pipeline(store.options.job_store, store.options.job_queue)
    with ChangeFeed(store.database, pipeline, await_ms=100) as feed:
        jobs = [scheduler.add_job(Noop, priority=1).id for _ in range(3)]
        heard = list[list[ObjectId] | None]()

        def is_heard(job_id: ObjectId) -> bool:
            event = feed.next()
            heard.append(event["fullDocument"].get("jobs") if isinstance(event, dict) else None)
            return job_id in (heard[-1] or [])

        eventually(lambda: is_heard(jobs[-1]), 10)
    assert [] not in heard


def test_each_way_in_which_an_urgent_job_comes_to_wait_names_it(scheduler: Scheduler, messages: Any) -> None:
    def named(job_id: ObjectId) -> int:
        return int(messages.count_documents({"urgent.job": job_id, "jobs": job_id}))

    def is_named(process: Process, times: int = 1) -> None:
        eventually(lambda: named(process.id) == times, 10)

    first, *_ = scheduler.add_jobs([(Noop, None, {"priority": 1})] * 2)
    is_named(first)
    is_named(scheduler.add_job_once(Noop, {"n": 1}, priority=1))
    scheduler.cancel_job(first.id)
    scheduler.retry_job(first.id)
    is_named(first, 2)
    usual = scheduler.add_job(Noop)
    scheduler.update_job(usual.id, priority=2)
    is_named(usual)
    scheduler.limits.set("db", 1)
    running, waiting = (scheduler.add_job(Noop, limits=["db"], priority=1) for _ in range(2))
    is_named(running)
    assert named(waiting.id) == 0
    scheduler.cancel_job(running.id)
    is_named(waiting)
    later = scheduler.add_job(Noop, priority=1, at=datetime.now(UTC) + timedelta(hours=1))
    is_named(scheduler.add_job(Noop, priority=1))
    assert named(later.id) == 0
