"""Writes that name their jobs name the index of ids as well: the server then looks at no other to find them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from taskscheduler import Job, Scheduler
from taskscheduler.testing import InlineNode

JOBS = "taskscheduler.jobs"


class Writes(CommandListener):
    """What was sent to change jobs."""

    def __init__(self) -> None:
        self.updates: list[Mapping[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command.get(event.command_name) == JOBS and event.command_name in ("update", "findAndModify"):
            self.updates += event.command.get("updates", [event.command])

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


@pytest.fixture
def writes() -> Writes:
    return Writes()


@pytest.fixture
def scheduler(uri: str, writes: Writes) -> Iterator[Scheduler]:
    client: MongoClient[dict[str, Any]] = MongoClient(uri, event_listeners=[writes])
    with client, Scheduler(client.get_default_database()) as scheduler:
        yield scheduler


class Returns(Job):
    name = "hints.returns"

    def start(self) -> int:
        self.update_progress(50, "half")
        return 1


class Fails(Job):
    name = "hints.fails"

    def start(self) -> None:
        raise ValueError


class Snoozes(Job):
    name = "hints.snoozes"

    def start(self) -> None:
        if self.attempt == 1:
            self.snooze(0)


def query_of(update: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = update.get("q", update.get("query", {}))
    return found


def test_all_writes_of_a_node_name_it(scheduler: Scheduler, writes: Writes) -> None:
    jobs = [
        scheduler.add_job(Returns), scheduler.add_job(Fails, retry=1), scheduler.add_job(Snoozes),
        scheduler.add_job(Returns, limits=["one"]),
    ]  # fmt: skip
    scheduler.limits.set("one", concurrency=1)
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    by_id = [one for one in writes.updates if "_id" in query_of(one)]
    assert len(by_id) > 3 * len(jobs)
    assert [one for one in by_id if one.get("hint") != "_id_"] == []
