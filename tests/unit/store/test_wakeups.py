"""What a wake-up message says, for nodes of this version and of the one before."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.model.control.urgency import UrgentJob
from taskscheduler.model.document import Document
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.wakeups import WakeupQueue


class Database:
    """A database whose one collection keeps what is inserted."""

    def __init__(self) -> None:
        self.messages: list[Document] = []

    def get_collection(self, *_: Any, **__: Any) -> Database:
        return self

    def insert_one(self, message: Document) -> None:
        self.messages.append(message)

    def insert_many(self, messages: list[Document], ordered: bool) -> None:
        self.messages += messages


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def queue(database: Database) -> WakeupQueue:
    """One that sends at once, in this thread."""
    queue = WakeupQueue(cast(Any, database), SchedulerOptions.of({}), SYSTEM_CLOCK)
    queue.close()
    return queue


def test_an_added_job_is_not_rearmed(database: Database, queue: WakeupQueue) -> None:
    one, two = ObjectId(), ObjectId()
    queue.jobs_added([one], ["mail"])
    queue.jobs_added([two], ["mail"], later=True, forced=True)
    first, second = database.messages
    assert {**first, "_id": 0} == {
        "_id": 0,
        "jobs": [one],
        "queues": ["mail"],
        "later": False,
        "forced": False,
        "rearmed": False,
    }
    assert (second["later"], second["forced"], second["rearmed"]) == (True, True, False)


def test_a_rearmed_job_is_also_later_for_nodes_that_do_not_know_better(database: Database, queue: WakeupQueue) -> None:
    """They would skip a job whose insertion has woken them."""
    queue.jobs_rearmed([ObjectId()], ["mail"], forced=False)
    queue.jobs_added([ObjectId()], ["mail"])
    first, second = database.messages
    assert (first["later"], first["forced"], first["rearmed"]) == (True, False, True)
    assert (second["later"], second["rearmed"]) == (False, False)


def test_cancelled_jobs_have_a_message_of_their_own(database: Database, queue: WakeupQueue) -> None:
    one = ObjectId()
    queue.jobs_cancelled([one])
    assert [message["stop"] for message in database.messages] == [[one]]


def test_changed_settings_have_messages_of_their_own(database: Database, queue: WakeupQueue) -> None:
    queue.schedules_changed()
    queue.rates_awaited()
    assert [{**message, "_id": 0} for message in database.messages] == [
        {"_id": 0, "schedules": True},
        {"_id": 0, "rates": True},
    ]


class Neighbour:
    """A node that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[list[ObjectId], list[str], bool]] = []

    def jobs_announced(self, ids: Sequence[ObjectId], queues: Sequence[str], forced: bool) -> None:
        self.told.append((list(ids), list(queues), forced))


def test_a_node_of_the_same_process_is_told_at_once_of_jobs_that_wait_now(queue: WakeupQueue) -> None:
    one, node = ObjectId(), Neighbour()
    queue.tell_at_once(node)
    queue.jobs_added([one], iter(["mail"]), forced=True)
    queue.jobs_added([one], ["mail"], later=True)
    queue.jobs_rearmed([one], ["mail"], forced=False)
    assert node.told == [([one], ["mail"], True)]
    queue.tell_at_once(None)
    queue.jobs_added([one], ["mail"])
    assert len(node.told) == 1


def test_jobs_whose_insert_wakes_nodes_have_no_message_unless_they_are_urgent(database: Database) -> None:
    clock, node, one = SimpleNamespace(monotonic=lambda: 7.0), Neighbour(), ObjectId()
    queue = WakeupQueue(cast(Any, database), SchedulerOptions.of({}), cast(Any, clock))
    queue.close()
    queue.tell_at_once(node)
    assert queue.is_quiet()
    queue.jobs_added([one], ["mail"], are_seen=True)
    assert (database.messages, node.told) == ([], [([one], ["mail"], False)])
    assert not queue.is_quiet(), "the next one within ten milliseconds shares a message with others"
    queue.jobs_added([one], ["mail"], urgent=[UrgentJob(one, "mail", 1)], are_seen=True)
    assert len(database.messages) == 1


def test_the_message_names_the_queues_also_if_a_node_was_told(database: Database, queue: WakeupQueue) -> None:
    queue.tell_at_once(Neighbour())
    queue.jobs_added([ObjectId()], iter(["mail"]))
    assert database.messages[0]["queues"] == ["mail"]


def test_the_message_names_urgent_jobs_and_only_if_there_are_some(database: Database, queue: WakeupQueue) -> None:
    job = UrgentJob(ObjectId(), "mail", 5)
    queue.jobs_added([job.job_id], ["mail"], urgent=[job])
    queue.jobs_rearmed([job.job_id], ["mail"], False, [job])
    queue.jobs_added([job.job_id], ["mail"])
    named = {"job": job.job_id, "queue": "mail", "priority": 5}
    assert [message.get("urgent") for message in database.messages] == [[named], [named], None]
