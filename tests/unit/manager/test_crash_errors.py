"""The errors of jobs whose worker died, and what is reported of all that it ran."""

from __future__ import annotations

import signal

import pytest
from tests.unit.manager.fakes import Scenario, a_run, async_run

from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.manager.crash_errors import CrashReport, crash_report, crash_reports
from taskscheduler_daemon.manager.pool.pool import Casualty
from taskscheduler_daemon.manager.pool.worker_state import KillReason, WorkerState
from taskscheduler_daemon.system.exits import ChildExit

RUN = a_run(timeout=5.0)


def killed(number: int) -> ChildExit:
    return ChildExit(1, None, number, 2048)


def test_a_worker_that_had_its_cpu_time_fails_its_job() -> None:
    ending, error = crash_report(RUN, None, killed(signal.SIGXCPU), max_cpu=2)
    assert error is not None
    assert (ending, error["type"], error["signal"]) == (Ending.FAILED, "CpuLimitError", signal.SIGXCPU)
    assert "more than 2 CPU seconds" in error["message"]


@pytest.mark.parametrize(
    ("ended", "max_cpu"),
    [
        (killed(signal.SIGXCPU), 0),
        (killed(signal.SIGKILL), 2),
        (killed(signal.SIGSEGV), 2),
        (ChildExit(1, 3, None, 1), 2),
    ],
)
def test_any_other_death_is_a_lost_worker(ended: ChildExit, max_cpu: float) -> None:
    """Also by a limit that is not ours: it may have counted the CPU time of earlier jobs."""
    ending, error = crash_report(RUN, None, ended, max_cpu)
    assert error is not None
    assert (ending, error["type"]) == (Ending.LOST, "WorkerLostError")
    assert error["peak_memory"] == ended.peak_kib * 1024


def test_a_silent_job_has_timed_out_with_a_message_of_its_own() -> None:
    run = RUN._replace(silence=2.5)
    ending, error = crash_report(run, KillReason.SILENT, killed(signal.SIGTERM))
    assert error is not None
    assert (ending, error["type"]) == (Ending.TIMED_OUT, "JobTimeoutError")
    assert error["message"] == "gave no sign of life for 2.5 s"


def test_a_timeout_stays_one_whatever_kills_the_worker_then() -> None:
    assert crash_report(RUN, KillReason.TIMED_OUT, killed(signal.SIGXCPU), 2)[0] is Ending.TIMED_OUT


def test_a_job_that_is_handed_back_has_no_error() -> None:
    for ended in (killed(signal.SIGXCPU), ChildExit(1, 0, None, 1)):
        assert crash_report(RUN, KillReason.RETURNED, ended, 2) == (Ending.RETURNED, None)


# -- all that a worker ran --------------------------------------------------------------------------------------------


def reports(worker: WorkerState, scenario: Scenario, ended: ChildExit, max_cpu: float = 0) -> list[CrashReport]:
    casualty = scenario.exit(worker)
    assert isinstance(casualty, Casualty)
    return list(crash_reports(casualty, ended, max_cpu, scenario.now + 2))


def test_the_running_job_is_reported_with_its_duration() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    running, _ = scenario.loaded(worker, 2)
    [report] = reports(worker, scenario, killed(signal.SIGKILL))
    assert (report.run, report.ending, report.seconds) == (running, Ending.LOST, 2.0)
    assert report.content["error"]["type"] == "WorkerLostError"
    assert "hook" not in report.content


def test_a_job_that_the_limit_failed_may_want_its_notification() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    scenario.loaded(worker, 1)
    [report] = reports(worker, scenario, killed(signal.SIGXCPU), max_cpu=1)
    assert (report.ending, report.content["hook"]) == (Ending.FAILED, True)


def test_a_cancelled_job_is_only_released() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    [run] = scenario.loaded(worker, 1)
    worker.kill_reason = KillReason.CANCELED
    assert reports(worker, scenario, killed(signal.SIGKILL)) == [CrashReport(run, None, 2.0, {})]


def test_an_idle_worker_that_dies_has_nothing_to_report() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    assert reports(worker, scenario, killed(signal.SIGKILL)) == []


def test_the_async_runs_of_a_worker_that_died_are_lost_but_for_those_that_were_to_be_handed_back() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    lost, returned, canceled = async_run(), async_run(), async_run()
    for run in (lost, returned, canceled):
        scenario.pool.began(worker, run, scenario.now)
    worker.async_runs[returned.job_id].kill_reason = KillReason.RETURNED
    worker.async_runs[canceled.job_id].kill_reason = KillReason.CANCELED
    found = reports(worker, scenario, killed(signal.SIGXCPU), max_cpu=1)
    assert [(report.run, report.ending) for report in found] == [
        (lost, Ending.LOST),  # the limit is not known to be its own
        (returned, Ending.RETURNED),
        (canceled, None),
    ]


def test_only_the_async_run_that_did_not_end_is_charged_for_a_killed_event_loop() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    late, other = async_run(timeout=1), async_run()
    for run in (late, other):
        scenario.pool.began(worker, run, scenario.now)
    worker.async_runs[late.job_id].kill_reason = KillReason.TIMED_OUT
    worker.killed_for_another = True
    found = reports(worker, scenario, killed(signal.SIGKILL))
    assert [(report.run, report.ending) for report in found] == [
        (late, Ending.TIMED_OUT),
        (other, Ending.RETURNED),
    ]
