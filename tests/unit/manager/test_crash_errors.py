"""The errors of jobs whose worker died, and what is reported of all that it ran."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

from tests.support.tables import table
from tests.unit.manager.fakes import Scenario, a_run, async_run

from taskscheduler.model.attempts.cost import Cost
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc.messages import NOT_MEASURED, Flag
from taskscheduler_daemon.manager.crash_errors import REASONS, CrashReport, WorkerDeath, crash_report, crash_reports
from taskscheduler_daemon.manager.pool.pool import Casualty
from taskscheduler_daemon.manager.pool.worker_state import AsyncEntry, KillReason, WorkerState
from taskscheduler_daemon.system.exits import ChildExit

RUN = a_run(timeout=5.0)
PEAK = 2048 * 1024


def killed(number: int) -> ChildExit:
    return ChildExit(1, None, number, 2048)


def death(number: int) -> WorkerDeath:
    return WorkerDeath(killed(number))


def error_of(*given: Any) -> tuple[Ending, dict[str, Any]]:
    ending, content = crash_report(*given)
    return ending, content["error"]


def test_a_worker_that_had_its_cpu_time_fails_its_job() -> None:
    ending, error = error_of(RUN, None, death(signal.SIGXCPU), 2)
    assert (ending, error["type"], error["signal"]) == (Ending.FAILED, "CpuLimitError", signal.SIGXCPU)
    assert "more than 2 CPU seconds" in error["message"]


@table(
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
    ending, error = error_of(RUN, None, WorkerDeath(ended), max_cpu)
    assert (ending, error["type"]) == (Ending.LOST, "WorkerLostError")
    assert error["peak_memory"] == ended.peak_kib * 1024


def test_a_silent_job_has_timed_out_with_a_message_of_its_own() -> None:
    run = RUN._replace(silence=2.5)
    ending, error = error_of(run, KillReason.SILENT, death(signal.SIGTERM))
    assert (ending, error["type"]) == (Ending.TIMED_OUT, "JobTimeoutError")
    assert error["message"] == "gave no sign of life for 2.5 s"


def test_a_timeout_stays_one_whatever_kills_the_worker_then() -> None:
    assert crash_report(RUN, KillReason.TIMED_OUT, death(signal.SIGXCPU), 2)[0] is Ending.TIMED_OUT


@table("reason", list(REASONS))
@table("ended", [killed(signal.SIGKILL), killed(signal.SIGXCPU), ChildExit(1, 0, None, 1)])
def test_a_job_that_we_killed_for_no_fault_of_its_own_is_handed_back_and_says_why(
    reason: KillReason, ended: ChildExit
) -> None:
    assert crash_report(RUN, reason, WorkerDeath(ended), 2) == (Ending.RETURNED, {"reason": REASONS[reason]})


@table(
    "ended",
    [
        WorkerDeath(ChildExit(1, 0, None, 1), signalled=True),  # its job was interrupted
        WorkerDeath(killed(signal.SIGKILL), signalled=True),  # it did not obey in time
        death(signal.SIGTERM),  # the job had another handler
        death(signal.SIGHUP),
        death(signal.SIGINT),
    ],
)
def test_a_worker_that_somebody_asked_to_end_charges_nobody(ended: WorkerDeath) -> None:
    for together in (1, 2):
        ending, content = crash_report(RUN, None, ended._replace(together=together))
        assert (ending, content["signalled"], "error" in content) == (Ending.RETURNED, True, False)
        assert "signal" in content["reason"]


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
    assert reports(worker, scenario, killed(signal.SIGKILL)) == [CrashReport(run, None, 2.0, Cost(None, PEAK), {})]


def test_an_idle_worker_that_dies_has_nothing_to_report() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    assert reports(worker, scenario, killed(signal.SIGKILL)) == []


def test_the_async_runs_of_a_worker_that_died_are_suspects_but_for_those_that_were_to_be_handed_back() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    lost, returned, canceled = async_run(), async_run(), async_run()
    for run in (lost, returned, canceled):
        scenario.pool.began(worker, run, scenario.now)
    worker.async_runs[returned.job_id].kill_reason = KillReason.RETURNED
    worker.async_runs[canceled.job_id].kill_reason = KillReason.CANCELED
    found = reports(worker, scenario, killed(signal.SIGXCPU), max_cpu=1)
    assert [(report.run, report.ending) for report in found] == [
        (lost, Ending.SUSPECTED),  # the limit is not known to be its own
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
    worker.kill_reason = KillReason.BESIDE
    found = reports(worker, scenario, killed(signal.SIGKILL))
    assert [(report.run, report.ending) for report in found] == [
        (late, Ending.TIMED_OUT),
        (other, Ending.RETURNED),
    ]


def test_all_jobs_of_a_batch_are_counted_that_a_worker_took_with_it() -> None:
    """Nobody knows which of them was the cause, though it was one run."""
    run = RUN._replace(flags=Flag.BATCH, jobs=100)
    worker = WorkerState(b"w" * 12, 1, False)
    casualty = Casualty(worker, run, [], [])
    (one,) = crash_reports(casualty, killed(signal.SIGKILL), 0, 10.0)
    assert one.ending is Ending.SUSPECTED
    assert "while it ran 100 jobs" in one.content["error"]["message"]


# -- what it cost -----------------------------------------------------------------------------------------------------


def cost_of(casualty: Casualty, spent: float, at_begin: float) -> list[Cost]:
    exit = replace(killed(signal.SIGKILL), cpu=spent)
    return [report.cost for report in crash_reports(replace(casualty, spent=at_begin), exit, 0, 0.0)]


def test_a_run_is_charged_with_what_its_worker_has_spent_since_it_began() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    [run] = scenario.loaded(worker, 1)
    casualty = scenario.exit(worker)
    assert isinstance(casualty, Casualty)
    assert cost_of(casualty, 7.5, 3.0) == [Cost(4.5, PEAK)]
    assert cost_of(casualty, 7.5, NOT_MEASURED) == [Cost(None, PEAK)], "it died before it had noted anything"
    batch = replace(casualty, run=run._replace(jobs=3))
    assert cost_of(batch, 7.5, 3.0) == [Cost(1.5, PEAK)], "of each of its jobs"


def test_the_cpu_time_of_async_runs_that_die_together_is_not_known() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    casualty = Casualty(worker, None, [], [AsyncEntry(async_run(), 0.0), AsyncEntry(async_run(), 0.0)])
    assert cost_of(casualty, 7.5, 3.0) == [Cost(None, PEAK)] * 2
    assert cost_of(replace(casualty, async_runs=casualty.async_runs[:1]), 7.5, 3.0) == [Cost(4.5, PEAK)]


def test_an_attempt_that_is_handed_back_says_how_its_worker_ended() -> None:
    scenario = Scenario()
    [worker] = scenario.boot()
    scenario.loaded(worker, 1)
    worker.kill_reason = KillReason.RETURNED
    [report] = reports(worker, scenario, killed(signal.SIGKILL))
    assert (report.ending, report.content["died"]) == (Ending.RETURNED, {"signal": signal.SIGKILL})
