"""What an ordinary job may ask of its worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import bson
import pytest
from bson import ObjectId
from tests.unit.worker.fakes import LIMIT, FakeClock, FakeManager, a_run, fake_manager

from taskscheduler.errors import SchedulerError
from taskscheduler.jobs.service import StopRequest
from taskscheduler.model.lifecycle import Status
from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.lending import SchedulerLender
from taskscheduler_daemon.system.usage import UsageMeter
from taskscheduler_daemon.worker import runtime
from taskscheduler_daemon.worker.progress import encode_progress
from taskscheduler_daemon.worker.reports import WorkerReports
from taskscheduler_daemon.worker.runtime import JobRuntime


class Scene:
    """A runtime with a clock, between a job and a manager."""

    def __init__(self, manager: FakeManager, limit: float = LIMIT) -> None:
        self.manager, self.clock = manager, FakeClock()
        reports = WorkerReports(ObjectId(), manager.worker_end, manager.page, limit, self.clock)
        self.runtime = JobRuntime(SchedulerLender(), reports, self.clock, UsageMeter())

    def begin(self) -> Run:
        run = a_run("unit-runs")
        self.runtime.begin(run, None)
        return run

    def left(self) -> dict[str, Any] | None:
        note = self.manager.page.read(0)
        return None if note is None else bson.decode(note[1])


@pytest.fixture
def scene() -> Iterator[Scene]:
    with fake_manager() as manager:
        yield Scene(manager)


def test_all_progress_is_left_in_the_page_and_a_message_says_so_once_per_limit(scene: Scene) -> None:
    run = scene.begin()
    key = {"id": ObjectId(run.job_id), "attempt": 1}
    scene.runtime.report(10.0, None)
    assert scene.left() == {"progress": 10.0, **key}
    scene.clock.time += LIMIT / 2
    scene.runtime.report(20.0, "half way")
    assert scene.left() == {"progress": 20.0, "message": "half way", **key}
    assert scene.runtime.progress == {"progress": 20.0, "message": "half way"}
    assert [report.body for report in scene.manager.progress] == [b""]
    scene.clock.time += LIMIT / 2
    scene.runtime.report(30.0, None)
    assert scene.left() == {"progress": 30.0, "message": "half way", **key}
    assert [report.body for report in scene.manager.progress] == [b"", b""]


def test_without_a_limit_each_progress_goes_with_a_message() -> None:
    with fake_manager() as manager:
        scene = Scene(manager, limit=0)
        scene.begin()
        for value in (1.0, 2.0, 3.0):
            scene.runtime.report(value, None)
        assert [report.content()["progress"] for report in manager.progress] == [1.0, 2.0, 3.0]
        assert scene.left() is None


def test_the_longest_message_fits_into_the_page(scene: Scene) -> None:
    scene.begin()
    scene.runtime.report(99.99, "\U0001f600" * 2000)
    left = scene.left()
    assert left is not None
    assert left["message"] == "\U0001f600" * 1000


def test_threads_of_a_job_never_leave_an_older_value_last(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.begin()
    entered, let_go = threading.Event(), threading.Event()

    def slow(latest: dict[str, Any], run: Run) -> bytes:
        content = encode_progress(latest, run)
        if latest["progress"] == 1.0:
            entered.set()
            let_go.wait(10)
        return content

    monkeypatch.setattr(runtime, "encode_progress", slow)
    first = threading.Thread(target=scene.runtime.report, args=(1.0, None))
    second = threading.Thread(target=scene.runtime.report, args=(2.0, None))
    first.start()
    assert entered.wait(10)
    second.start()
    second.join(0.05)  # it must not get past the first one
    let_go.set()
    first.join()
    second.join()
    left = scene.left()
    assert left is not None
    assert left["progress"] == 2.0


def test_each_job_begins_without_the_progress_of_the_one_before(scene: Scene) -> None:
    scene.begin()
    scene.runtime.report(10.0, "first")
    scene.runtime.end()
    scene.begin()
    assert scene.runtime.progress == {}
    scene.runtime.report(None, None)
    assert len(scene.manager.progress) == 2, "also within the limit of the job before"


def test_what_a_thread_of_an_ended_job_reports_is_ignored(scene: Scene) -> None:
    scene.begin()
    scene.runtime.end()
    scene.runtime.report(10.0, None)
    assert (scene.manager.progress, scene.left(), scene.runtime.progress) == ([], None, {})


def test_the_runtime_has_the_stop_request_of_its_service_only(scene: Scene) -> None:
    request = StopRequest()
    scene.runtime.begin(a_run("unit-runs"), request)
    assert scene.runtime.stop_request is request
    scene.begin()
    assert scene.runtime.stop_request is None


def test_the_reason_of_an_interruption_is_that_of_the_manager(scene: Scene) -> None:
    assert scene.runtime.interruption() == Status.WAITING
    scene.manager.page.kill_status = Status.CANCELED
    assert scene.runtime.interruption() is Status.CANCELED


def test_an_ordinary_job_has_no_asyncio_scheduler(scene: Scene) -> None:
    with pytest.raises(SchedulerError, match="async_scheduler is for async jobs; use scheduler"):
        scene.runtime.async_scheduler()
