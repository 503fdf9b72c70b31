"""What is said of a job whose worker died with it."""

from __future__ import annotations

import signal

import pytest
from bson import ObjectId

from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.manager.crash_report import crash_report
from taskscheduler_daemon.manager.pool.worker_state import KillReason
from taskscheduler_daemon.system.exits import ChildExit

RUN = Run(ObjectId().binary, 1, 5.0, 0, b"")


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


def test_a_silent_job_has_timed_out_for_a_reason_of_its_own() -> None:
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
