"""The history of a job: what the log of status changes still holds, however it was overwritten or dropped."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.collection import Collection
from pymongo.errors import ExecutionTimeout, OperationFailure
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess

from taskscheduler import DatabaseError, Scheduler, Status
from taskscheduler.operations.history import history
from taskscheduler.store.event_log import StatusChange
from taskscheduler_daemon.cli import main

Log = Collection[dict[str, Any]]


@pytest.fixture
def log(scheduler: Scheduler) -> Log:
    return scheduler.store.database[scheduler.store.options.event_queue]


def processing(job_id: ObjectId, attempt: int = 1) -> dict[str, Any]:
    return {"job": job_id, "status": int(Status.PROCESSING), "attempt": attempt}


def changes(scheduler: Scheduler, job_id: ObjectId) -> list[tuple[Status, int, str | None]]:
    return [(change.status, change.attempt, change.node) for change in history(scheduler.store, job_id)]


def test_the_life_of_a_job_is_told_in_order(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess], capsys: pytest.CaptureFixture[str], uri: str
) -> None:
    start_node(name="n1")
    process = scheduler.add_job("fail", retry=1, retry_interval=0)
    other = scheduler.add_job("noop")
    process.wait(20)
    other.wait(20)
    failed = [
        (Status.PROCESSING, 1, "n1"),
        (Status.WAITING, 1, "n1"),
        (Status.PROCESSING, 2, "n1"),
        (Status.FAILED, 2, "n1"),
    ]
    eventually(lambda: len(changes(scheduler, process.id)) == 4, 10, "the whole history")
    assert changes(scheduler, process.id) == failed
    now = scheduler.store.clock.now()
    assert all(abs(change.at - now) < timedelta(seconds=60) for change in history(scheduler.store, process.id))

    assert main(["--uri", uri, "show", str(process.id), "-o", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)["history"]
    assert [(one["status"], one["attempt"], one["node"]) for one in shown] == [
        (status.label, attempt, node) for status, attempt, node in failed
    ]
    assert set(shown[0]) == {"at", "status", "attempt", "node"}
    assert main(["--uri", uri, "show", str(process.id), "-o", "table"]) == 0
    table = capsys.readouterr().out
    assert next(line.count("history") for line in table.splitlines() if " #1 on n1" in line) == 1
    assert "failed #2 on n1" in table


def test_a_cancelled_job_was_changed_by_no_node(scheduler: Scheduler) -> None:
    process = scheduler.add_job("noop")
    assert history(scheduler.store, process.id) == []
    scheduler.cancel_job(process.id)
    scheduler.retry_job(process.id)
    assert changes(scheduler, process.id) == [(Status.CANCELED, 0, None), (Status.WAITING, 0, None)]


def test_a_job_that_was_deleted_keeps_its_history(scheduler: Scheduler) -> None:
    process = scheduler.add_job("noop")
    scheduler.cancel_job(process.id)
    scheduler.delete_job(process.id)
    assert changes(scheduler, process.id) == [(Status.CANCELED, 0, None)]


def test_several_changes_in_one_entry_are_told_apart(scheduler: Scheduler) -> None:
    mine, other = ObjectId(), ObjectId()
    scheduler.store.events.append([processing(other), processing(mine, 1), processing(other), processing(mine, 2)], "n")
    assert changes(scheduler, mine) == [(Status.PROCESSING, 1, "n"), (Status.PROCESSING, 2, "n")]


def test_of_many_changes_the_newest_are_told(scheduler: Scheduler) -> None:
    mine = ObjectId()
    for start in range(0, 60, 20):
        scheduler.store.events.append([processing(mine, number) for number in range(start, start + 20)], "n")
    for number in range(60, 70):
        scheduler.store.events.append([processing(mine, number)], "n")
    assert [change.attempt for change in history(scheduler.store, mine, limit=25)] == list(range(45, 70))
    assert len(history(scheduler.store, mine)) == 70


def test_of_a_log_that_has_wrapped_the_rest_is_told(uri: str) -> None:
    with Scheduler(uri, event_queue_size=4096) as scheduler:
        mine = ObjectId()
        for attempt in range(1, 101):
            scheduler.store.events.append([processing(mine, attempt)], "n")
        attempts = [change.attempt for change in history(scheduler.store, mine)]
        assert 1 < attempts[0] < 100
        assert attempts == list(range(attempts[0], 101))


def test_a_log_that_was_dropped_is_empty_and_goes_on(scheduler: Scheduler, log: Log) -> None:
    mine = ObjectId()
    scheduler.store.events.append([processing(mine, 1)], "n")
    log.drop()
    assert history(scheduler.store, mine) == []
    scheduler.store.events.append([processing(mine, 2)], "n")
    assert changes(scheduler, mine) == [(Status.PROCESSING, 2, "n")]


@pytest.mark.parametrize(
    "error", [ExecutionTimeout("operation exceeded time limit", 50), OperationFailure("CappedPositionLost", 136)]
)
def test_a_read_that_takes_too_long_or_is_overtaken_looks_less_far_back(
    scheduler: Scheduler, log: Log, monkeypatch: pytest.MonkeyPatch, error: OperationFailure
) -> None:
    mine = ObjectId()
    scheduler.store.events.append([processing(mine)], "n")
    looks: list[int] = []

    class Slow:
        def aggregate(self, stages: list[dict[str, Any]], **options: Any) -> Any:
            looks.append(stages[0]["$limit"])
            if len(looks) <= failures:
                raise error
            return log.aggregate(stages, **options)

    monkeypatch.setattr(scheduler.store.events, "_collection", Slow())
    failures = 1
    assert len(history(scheduler.store, mine)) == 1
    assert looks[1] < looks[0]
    failures = 99
    assert history(scheduler.store, mine) == []


def test_a_read_that_is_refused_is_no_empty_history(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused:
        def aggregate(self, *_args: Any, **_options: Any) -> list[StatusChange]:
            raise OperationFailure("bad hint", 2)

    monkeypatch.setattr(scheduler.store.events, "_collection", Refused())
    with pytest.raises(DatabaseError, match="bad hint"):
        history(scheduler.store, ObjectId())
