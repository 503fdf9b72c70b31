"""The errors stored for the jobs whose worker process died."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any, NamedTuple

from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.manager.pool.pool import Casualty
from taskscheduler_daemon.manager.pool.worker_state import KillReason
from taskscheduler_daemon.system.exits import ChildExit
from taskscheduler_daemon.system.resource_limits import cpu_used_up

_ENDINGS = {
    KillReason.TIMED_OUT: Ending.TIMED_OUT,
    KillReason.SILENT: Ending.TIMED_OUT,
    KillReason.RETURNED: Ending.RETURNED,
}


class CrashReport(NamedTuple):
    """The end of a run whose worker died."""

    run: Run
    ending: Ending | None  #: None if it was cancelled: it is only released
    seconds: float  #: how long it ran
    content: dict[str, Any]


def crash_reports(casualty: Casualty, exit: ChildExit, max_cpu: float, now: float) -> Iterator[CrashReport]:
    """Yields the report of each run that a worker took with it: the ordinary one, then the async ones."""
    worker, run = casualty.worker, casualty.run
    if run is not None:
        yield _report(run, worker.kill_reason, exit, now - worker.since, max_cpu)
    spared = KillReason.RETURNED if worker.killed_for_another else None
    for entry in casualty.async_runs:
        yield _report(entry.run, entry.kill_reason or spared, exit, now - entry.since)


def _report(run: Run, reason: KillReason | None, exit: ChildExit, seconds: float, max_cpu: float = 0) -> CrashReport:
    if reason is KillReason.CANCELED:
        return CrashReport(run, None, seconds, {})
    ending, error = crash_report(run, reason, exit, max_cpu)
    # whether the job has a notification hook only a worker could tell: in doubt it is called
    hook = {"hook": True} if ending is Ending.FAILED else {}
    return CrashReport(run, ending, seconds, {"error": error, **hook})


def crash_report(
    run: Run, reason: KillReason | None, exit: ChildExit, max_cpu: float = 0
) -> tuple[Ending, dict[str, Any] | None]:
    """Returns how the attempt ended, and its error: the cause, exit code or signal, and peak memory in bytes.

    The error of an attempt that is handed back is None: it is not charged for the end of its worker.
    """
    ending = Ending.LOST if reason is None else _ENDINGS.get(reason, Ending.LOST)
    if ending is Ending.RETURNED:
        return ending, None
    cause = {"exit_code": exit.code} if exit.signal is None else {"signal": exit.signal}
    facts = {"peak_memory": exit.peak_kib * 1024, **cause}
    if reason is not None and (error := timeout_error(run, reason)) is not None:
        return ending, {**error, **facts}
    if ending is Ending.LOST and max_cpu and exit.signal == signal.SIGXCPU:
        message = f"{cpu_used_up(max_cpu)} and was killed, as it did not end by itself"
        return Ending.FAILED, {"type": "CpuLimitError", "message": message, **facts}
    message = f"the worker {exit} while it ran the job (peak memory {exit.peak_kib // 1024} MiB)"
    return ending, {"type": "WorkerLostError", "message": message, **facts}


def timeout_error(run: Run, reason: KillReason) -> dict[str, Any] | None:
    """Returns the error of a run that timed out or fell silent; None for another reason."""
    if reason not in (KillReason.TIMED_OUT, KillReason.SILENT):
        return None
    silent = reason is KillReason.SILENT
    message = f"gave no sign of life for {run.silence:g} s" if silent else f"ran longer than {run.timeout:g} s"
    return {"type": "JobTimeoutError", "message": message}
