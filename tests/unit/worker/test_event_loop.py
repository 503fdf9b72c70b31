"""Many async jobs in one event loop, their progress, and how single ones are interrupted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

import bson
import pytest
from bson import ObjectId
from tests.unit.worker.fakes import LIMIT, FakeManager, FakeSource, a_run, fake_manager

from taskscheduler import Job, Status
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.jobs.async_executor import INTERRUPTED
from taskscheduler.jobs.service import StopRequest
from taskscheduler.model.attempt_result import AttemptResult
from taskscheduler.model.attempts.cost import Cost
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc.messages import NOT_MEASURED, Flag, Run, interrupt
from taskscheduler_daemon.lending import SchedulerLender
from taskscheduler_daemon.system.resource_limits import ResourceLimits
from taskscheduler_daemon.system.usage import UsageMeter
from taskscheduler_daemon.worker.event_loop import EventLoop
from taskscheduler_daemon.worker.events import WorkerEvents
from taskscheduler_daemon.worker.execution import JobExecution
from taskscheduler_daemon.worker.reports import Ran, WorkerReports

LONG = 3600.0


class Meeting(Job):
    """Waits until as many of these run as its data say."""

    name = "unit-loop-meeting"
    present = 0

    async def start(self) -> int:
        Meeting.present += 1
        while Meeting.present < self.data:
            await asyncio.sleep(0.001)
        return self.data  # type: ignore[no-any-return]


class Waiting(Job):
    """Runs until it is cancelled, and notes why; `cancel` in its data: it cancels its own task."""

    name = "unit-loop-waiting"
    reasons: list[Status] = []
    interrupt_when: tuple[int, EventLoop] | None = None
    present = 0

    async def start(self) -> None:
        Waiting.present += 1
        if self.interrupt_when is not None and self.interrupt_when[0] == Waiting.present:
            self.interrupt_when[1].interrupt_all(Status.WAITING)
        if self.data == "cancel":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        await asyncio.sleep(LONG)

    def tear_down(self, outcome: Any) -> None:
        self.reasons.append(outcome.status)


class Talking(Job):
    """Reports progress as often as its data say."""

    name = "unit-loop-talking"

    async def start(self) -> None:
        for number in range(self.data):
            self.update_progress(number)
            await asyncio.sleep(0)


class Busy(Job):
    """Uses as much CPU time as its data say, in two parts."""

    name = "unit-loop-busy"

    async def start(self) -> None:
        for _ in range(2):
            until = time.thread_time() + self.data / 2
            while time.thread_time() < until:
                pass
            await asyncio.sleep(0)


class FakeContext:
    """A worker that keeps the ends of its runs."""

    stop_request: StopRequest | None = None

    def __init__(self) -> None:
        self.ends: dict[bytes, tuple[AttemptResult, Mapping[str, Any]]] = {}
        self.costs: dict[bytes, Cost] = {}
        self.meter = UsageMeter()

    def ended(self, run: Run, document: dict[str, Any], result: AttemptResult, ran: Ran) -> None:
        assert ran.began >= 0
        assert document["_id"].binary == run.job_id
        self.ends[run.job_id] = result, ran.progress
        self.costs[run.job_id] = ran.cost


class Scene:
    """An event loop between a manager and a worker."""

    def __init__(self, manager: FakeManager) -> None:
        self.manager, self.context = manager, FakeContext()
        reports = WorkerReports(ObjectId(), manager.worker_end, manager.page, LIMIT, SYSTEM_CLOCK)
        execution = JobExecution(FakeSource(), WorkerEvents(), None, 1024, ResourceLimits())
        self.event_loop = EventLoop(
            self.context, execution, reports, SchedulerLender(), manager.worker_end, SYSTEM_CLOCK
        )

    def result(self, run: Run) -> AttemptResult:
        return self.context.ends[run.job_id][0]


@pytest.fixture
def scene() -> Iterator[Scene]:
    Meeting.present, Waiting.reasons, Waiting.present, Waiting.interrupt_when = 0, [], 0, None
    with fake_manager() as manager:
        scene = Scene(manager)
        yield scene
        scene.event_loop.loop.close()


def test_jobs_that_arrive_meanwhile_run_at_once_and_other_runs_are_left_to_the_worker(scene: Scene) -> None:
    first, second = (a_run(Meeting.name, 2, Flag.ASYNC) for _ in range(2))
    ordinary = a_run("unit-loop-ordinary")
    scene.manager.send(ordinary.encode(), second.encode())
    assert scene.event_loop.serve(first) == [ordinary]
    assert scene.result(first) == scene.result(second) == (Ending.SUCCEEDED, {"result": 2})
    assert not scene.event_loop.is_running


def test_an_attempt_whose_execution_breaks_fails_and_holds_up_no_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(*_: Any) -> AttemptResult:
        raise ValueError("broken")

    monkeypatch.setattr(scene.event_loop._execution, "attempt", breaks)
    run = a_run(Meeting.name, 1, Flag.ASYNC)
    assert scene.event_loop.serve(run) == []
    ending, content = scene.result(run)
    assert (ending, content["error"]["message"]) == (Ending.FAILED, "broken")


def test_one_job_is_interrupted_alone_and_learns_why(scene: Scene) -> None:
    doomed, other = a_run(Waiting.name, None, Flag.ASYNC), a_run(Meeting.name, 1, Flag.ASYNC)
    scene.manager.send(interrupt(ObjectId().binary, Status.TIMEOUT), other.encode())
    scene.manager.send(interrupt(doomed.job_id, Status.CANCELED))
    assert scene.event_loop.serve(doomed) == []
    assert scene.result(doomed) is INTERRUPTED
    assert scene.result(other)[0] is Ending.SUCCEEDED
    assert Waiting.reasons == [Status.CANCELED]


def test_all_jobs_can_be_interrupted(scene: Scene) -> None:
    runs = [a_run(Waiting.name, None, Flag.ASYNC) for _ in range(3)]
    scene.manager.send(*(run.encode() for run in runs[1:]))
    Waiting.interrupt_when = (3, scene.event_loop)
    scene.event_loop.serve(runs[0])
    assert [scene.result(run) for run in runs] == [INTERRUPTED] * 3
    assert Waiting.reasons == [Status.WAITING] * 3


def test_a_job_that_cancels_its_own_task_is_not_interrupted(scene: Scene) -> None:
    run = a_run(Waiting.name, "cancel", Flag.ASYNC)
    scene.event_loop.serve(run)
    ending, content = scene.result(run)
    assert (ending, content["error"]["type"]) == (Ending.FAILED, "asyncio.exceptions.CancelledError")


def test_jobs_go_on_when_the_manager_closes_the_socket(scene: Scene) -> None:
    run = a_run(Meeting.name, 2, Flag.ASYNC)
    scene.manager.send(a_run(Meeting.name, 2, Flag.ASYNC).encode())
    scene.manager.dismiss()
    assert scene.event_loop.serve(run) == []
    assert scene.result(run)[0] is Ending.SUCCEEDED


def test_the_last_progress_of_a_job_goes_with_its_end(scene: Scene) -> None:
    run = a_run(Talking.name, 50, Flag.ASYNC)
    scene.event_loop.serve(run)
    assert scene.context.ends[run.job_id] == ((Ending.SUCCEEDED, {}), {"progress": 49.0})
    assert len(scene.manager.progress) <= 1, "within the limit"


def test_a_job_alone_is_not_reported_but_returned_and_its_progress_sent(scene: Scene) -> None:
    run = a_run(Talking.name, 3)
    assert scene.event_loop.alone(run) == (Ending.SUCCEEDED, {})
    assert scene.context.ends == {}
    assert [bson.decode(report.body)["progress"] for report in scene.manager.progress][-1] == 2


def test_each_of_the_jobs_in_a_loop_has_its_own_cpu_time(scene: Scene) -> None:
    runs = [a_run(Busy.name, seconds, Flag.ASYNC) for seconds in (0.04, 0.0, 0.02)]
    scene.manager.send(*(run.encode() for run in runs[1:]))
    scene.event_loop.serve(runs[0])
    long, none, short = (scene.context.costs[run.job_id].cpu or 0.0 for run in runs)
    assert (long >= 0.04, short >= 0.02, none < 0.02) == (True, True, True)
    assert all((scene.context.costs[run.job_id].peak_memory or 0) > 1024**2 for run in runs)


def test_only_a_job_that_begins_alone_can_be_charged_with_the_cpu_time_of_its_process(scene: Scene) -> None:
    runs = [a_run(Meeting.name, 3, Flag.ASYNC) for _ in range(2)]
    scene.event_loop.serve(a_run(Meeting.name, 1, Flag.ASYNC))
    assert scene.manager.page.spent > 0
    scene.manager.send(runs[1].encode())
    scene.event_loop.serve(runs[0])
    assert scene.manager.page.spent == NOT_MEASURED
