"""One attempt or notification of a job in a worker, its limits and its events."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import bson
import pytest
from bson import ObjectId
from tests.unit.worker.fakes import LIMIT, FakeClock, FakeManager, FakeSource, a_run, fake_manager

from taskscheduler import Job, Process, Status
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.process_state import ProcessState
from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.lending import AsyncBorrower, SchedulerLender
from taskscheduler_daemon.system.exits import EXIT_OK
from taskscheduler_daemon.system.resource_limits import ResourceLimits
from taskscheduler_daemon.system.usage import UsageMeter
from taskscheduler_daemon.worker.events import EXECUTED, FAILED, FETCHED, WorkerEvents
from taskscheduler_daemon.worker.execution import JobExecution
from taskscheduler_daemon.worker.reports import WorkerReports
from taskscheduler_daemon.worker.runtime import JobRuntime


class Executed(Job):
    """Returns its data, or fails with its text; its notification is asynchronous."""

    name = "unit-executed"

    def start(self) -> Any:
        if isinstance(self.data, str):
            raise ValueError(self.data)
        return self.data

    async def notification(self, status: Status, process: Process) -> None: ...


class ExecutedLater(Job):
    """The same in an event loop; `None`: cancels its task."""

    name = "unit-executed-later"

    async def start(self) -> Any:
        if self.data is None:
            await asyncio.sleep(3600)
        return self.data


class FakeAsyncRuntime(AsyncBorrower):
    """A runtime whose job is interrupted."""

    is_interrupted = True

    def report(self, progress: float | None, message: str | None) -> None: ...

    def interruption(self) -> Status:
        return Status.CANCELED

    def attempt(self) -> Any:
        return None


class Scene:
    """An execution, its runtime and the events that it emits."""

    def __init__(self, manager: FakeManager) -> None:
        self.source, self.events = FakeSource(), WorkerEvents()
        self.seen: list[tuple[str, Any]] = []
        for event in (FETCHED, EXECUTED, FAILED):
            self.events.on(event, self._note)
        reports = WorkerReports(ObjectId(), manager.worker_end, manager.page, LIMIT, FakeClock())
        self.runtime = JobRuntime(SchedulerLender(), reports, FakeClock(), UsageMeter())
        self.execution = JobExecution(self.source, self.events, None, 1024, ResourceLimits())

    def _note(self, event: str, worker: object, job: ProcessState | None) -> None:
        assert worker is self.source
        assert job is not None
        self.seen.append((event, job.id))


def document(run: Run) -> dict[str, Any]:
    return bson.decode(run.body)


@pytest.fixture
def scene() -> Iterator[Scene]:
    with fake_manager() as manager:
        yield Scene(manager)


def test_an_ordinary_job_is_executed_between_its_two_events(scene: Scene) -> None:
    run = document(a_run(Executed.name, 5))
    assert scene.execution.ordinary(run, scene.runtime) == (Ending.SUCCEEDED, {"result": 5})
    assert scene.seen == [(FETCHED, run["_id"]), (EXECUTED, run["_id"])]


def test_a_job_that_fails_has_its_event(scene: Scene) -> None:
    run = document(a_run(Executed.name, "broken"))
    assert scene.execution.ordinary(run, scene.runtime)[0] is Ending.FAILED
    assert scene.seen == [(FETCHED, run["_id"]), (FAILED, run["_id"])]


def test_an_async_job_has_the_same_events(scene: Scene) -> None:
    run = document(a_run(ExecutedLater.name, 5))
    runtime = FakeAsyncRuntime(SchedulerLender())
    assert asyncio.run(scene.execution.attempt(run, runtime)) == (Ending.SUCCEEDED, {"result": 5})
    assert scene.seen == [(FETCHED, run["_id"]), (EXECUTED, run["_id"])]


def test_an_interrupted_async_job_has_no_event_of_its_end(scene: Scene) -> None:
    run = document(a_run(ExecutedLater.name))

    async def interrupted() -> Ending:
        task = asyncio.ensure_future(scene.execution.attempt(run, FakeAsyncRuntime(SchedulerLender())))
        await asyncio.sleep(0)
        task.cancel()
        return (await task)[0]

    assert asyncio.run(interrupted()) is Ending.RETURNED
    assert scene.seen == [(FETCHED, run["_id"])]


def test_an_async_notification_is_returned_to_be_awaited_and_is_no_event(scene: Scene) -> None:
    run = document(a_run(Executed.name, 5, status=Status.DONE))
    answer = scene.execution.notification(run, scene.runtime)
    assert answer is not None
    asyncio.run(answer)
    assert scene.seen == []


def test_a_fork_that_a_job_lets_return_exits(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    scene.execution.ordinary(document(a_run(Executed.name, 5)), scene.runtime)
    assert left == []
    monkeypatch.setattr(os, "getpid", lambda: -1)
    scene.execution.ordinary(document(a_run(Executed.name, 5)), scene.runtime)
    assert left == [EXIT_OK]
