"""What a worker sends to its manager, and what it leaves in the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bson import ObjectId
from tests.unit.worker.fakes import LIMIT, FakeClock, FakeManager, a_run, fake_manager

from taskscheduler import Job, Process
from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.model.attempt_result import AttemptResult
from taskscheduler.model.attempts.cost import UNKNOWN, Cost
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.worker.reports import Ran, WorkerReports

WORKER = ObjectId()
COST = Cost(1.25, 4096)
DOCUMENT = {"class": "unit-reported"}


class Reported(Job):
    """Has a notification."""

    name = "unit-reported-and-notified"

    def start(self) -> None: ...

    def notification(self, status: Status, process: Process) -> None: ...


@pytest.fixture
def manager() -> Iterator[FakeManager]:
    with fake_manager() as manager:
        yield manager


@pytest.fixture
def reports(manager: FakeManager) -> WorkerReports:
    return WorkerReports(WORKER, manager.worker_end, manager.page, LIMIT, FakeClock())


def test_a_worker_reports_that_it_is_ready(manager: FakeManager, reports: WorkerReports) -> None:
    reports.ready()
    assert manager.received == [messages.ready(LIMIT, REGISTRY.names())]


def test_the_end_of_a_run_comes_with_its_result_its_last_progress_and_its_duration(
    manager: FakeManager, reports: WorkerReports
) -> None:
    run = a_run("unit-reported")
    assert reports.ended(
        run, DOCUMENT, AttemptResult(Ending.SUCCEEDED, {"result": 5}), Ran({"progress": 50.0}, 998.5, COST)
    )
    [report] = manager.reports
    assert (report.ending, report.job_id, report.attempt, report.worker) == (
        Ending.SUCCEEDED,
        run.job_id,
        1,
        WORKER.binary,
    )
    assert (report.content(), report.seconds, report.began) == ({"result": 5, "said": {"progress": 50.0}}, 1.5, 998.5)
    assert report.cost == COST


def test_a_job_with_a_notification_is_marked(manager: FakeManager, reports: WorkerReports) -> None:
    run = a_run(Reported.name)
    reports.ended(run, {"class": Reported.name}, AttemptResult(Ending.SUCCEEDED, {}), Ran({}, 0.0))
    assert manager.reports[0].content() == {"hook": True}


def test_a_worker_learns_from_a_report_that_its_manager_is_gone(manager: FakeManager, reports: WorkerReports) -> None:
    manager.end.close()
    assert not reports.ended(a_run("unit-reported"), DOCUMENT, AttemptResult(Ending.SUCCEEDED, {}), Ran({}, 0.0))


def test_a_run_that_was_read_can_be_handed_back(manager: FakeManager, reports: WorkerReports) -> None:
    run = a_run("unit-reported")
    reports.unstarted(run)
    assert [(report.ending, report.job_id, report.cost) for report in manager.reports] == [
        (Ending.UNSTARTED, run.job_id, UNKNOWN)
    ]


def test_progress_is_sent_or_left_in_the_page_and_is_a_sign_of_life(
    manager: FakeManager, reports: WorkerReports
) -> None:
    run = a_run("unit-reported")
    reports.leave_progress(b"left")
    assert (manager.received, manager.page.touched(), manager.page.read(0)) == ([], 1000.0, (2, b"left"))
    manager.page.touch(0.0)
    reports.progress(run, b"sent", 990.0)
    assert [(report.body, report.began) for report in manager.progress] == [(b"sent", 990.0)]
    assert manager.page.touched() == 1000.0


def test_the_kill_status_is_waiting_until_the_manager_gives_a_reason(
    manager: FakeManager, reports: WorkerReports
) -> None:
    found = [reports.kill_status]
    manager.page.kill_status = Status.TIMEOUT
    found.append(reports.kill_status)
    assert found == [Status.WAITING, Status.TIMEOUT]
