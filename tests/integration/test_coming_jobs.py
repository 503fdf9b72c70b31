"""Nodes hear of single jobs while these are being stored, by messages that nobody has to rely on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from bson import ObjectId, Timestamp
from pymongo import MongoClient
from tests.support.eventually import eventually
from tests.support.jobs import Noop

from taskscheduler import Scheduler
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.messages.coming_jobs import ComingJobs

LONG = 3.0  #: seconds; a wait for messages takes longer


@contextmanager
def heard(scheduler: Scheduler) -> Iterator[list[ObjectId]]:
    """The jobs of which somebody hears who follows the messages."""
    store, ids, ended = scheduler.store, list[ObjectId](), threading.Event()
    coming = ComingJobs(store.streams.for_few(), store.options)

    def follow() -> None:
        while not ended.is_set():
            ids.extend(coming.next()[0])

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield ids
    finally:
        ended.set()
        coming.close()
        thread.join(30)
        assert not thread.is_alive()


def told(scheduler: Scheduler, ids: list[ObjectId], job_id: ObjectId) -> Callable[[], bool]:
    """Tells of a job, again and again, until somebody has heard it."""

    def is_heard() -> bool:
        scheduler.store.wakeups.job_comes({"_id": job_id, "queue": "mail"})
        return job_id in ids

    return is_heard


def test_a_single_job_is_heard_of_and_not_again_when_it_is_stored(scheduler: Scheduler) -> None:
    with heard(scheduler) as ids:
        eventually(told(scheduler, ids, ObjectId()), 30, "the messages are followed")
        eventually(scheduler.store.wakeups.is_quiet, 10, "no message was sent lately")
        job_id = scheduler.add_job(Noop).id
        eventually(lambda: job_id in ids, 30, "it is heard of")
    queue = scheduler.store.database["taskscheduler.queue"]
    assert queue.count_documents({"jobs": job_id}) == 1


def test_the_wait_ends_at_once_when_it_is_closed(scheduler: Scheduler) -> None:
    with heard(scheduler) as ids:
        eventually(told(scheduler, ids, ObjectId()), 30, "the messages are followed")
        began = time.monotonic()
    assert time.monotonic() - began < LONG


def test_what_was_told_before_is_not_heard(scheduler: Scheduler) -> None:
    store, early, late = scheduler.store, ObjectId(), ObjectId()
    queue = store.database["taskscheduler.queue"]
    queue.insert_one({"jobs": [early], "queues": ["mail"], "ts": Timestamp(0, 0)})
    with heard(scheduler) as ids:
        eventually(told(scheduler, ids, late), 30, "the messages are followed")
        assert early not in ids


@pytest.mark.parametrize("message", [{"jobs": 1}, {"jobs": ["x", None], "queues": 7}, {"jobs": {}, "queues": [1]}])
def test_odd_messages_are_passed_over(scheduler: Scheduler, message: dict[str, object]) -> None:
    queue = scheduler.store.database["taskscheduler.queue"]
    with heard(scheduler) as ids:
        eventually(told(scheduler, ids, ObjectId()), 30, "the messages are followed")
        queue.insert_one({**message, "ts": Timestamp(0, 0)})
        eventually(told(scheduler, ids, ObjectId()), 30, "those after it are heard")


def test_messages_are_followed_again_after_the_queue_was_dropped(scheduler: Scheduler) -> None:
    database, options = scheduler.store.database, scheduler.store.options
    with heard(scheduler) as ids:
        eventually(told(scheduler, ids, ObjectId()), 30, "the messages are followed")
        database.drop_collection(options.job_queue)
        database[options.job_queue].insert_one({"not": "capped"})
        database.command("convertToCapped", options.job_queue, size=options.job_queue_size)
        eventually(told(scheduler, ids, ObjectId()), 30, "it is capped again")


def test_without_a_server_nothing_is_raised() -> None:
    client: MongoClient[dict[str, object]] = MongoClient("mongodb://127.0.0.1:1/x", serverSelectionTimeoutMS=50)
    with client:
        coming = ComingJobs(client["x"], SchedulerOptions.of({}))
        coming.tell([(ObjectId(), "mail")])
        coming.close()
        assert coming.next() == ([], [])
