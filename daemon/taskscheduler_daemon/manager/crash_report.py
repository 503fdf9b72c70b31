"""Pure: what is said of a job whose worker died with it."""

from __future__ import annotations

import signal
from typing import Any

from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc.messages import Run
from taskscheduler_daemon.manager.pool.worker_state import KillReason
from taskscheduler_daemon.system.exits import ChildExit
from taskscheduler_daemon.system.resource_limits import cpu_used_up

_ENDINGS = {
    KillReason.TIMED_OUT: Ending.TIMED_OUT,
    KillReason.SILENT: Ending.TIMED_OUT,
    KillReason.RETURNED: Ending.RETURNED,
}


def crash_report(
    run: Run, doom: KillReason | None, ended: ChildExit, max_cpu: float = 0
) -> tuple[Ending, dict[str, Any] | None]:
    """How the attempt ended, and its error: what happened, exit code or signal, and peak memory in bytes.

    None for one that is handed back: that its worker ended is no fault of it.
    """
    ending = Ending.LOST if doom is None else _ENDINGS.get(doom, Ending.LOST)
    if ending is Ending.RETURNED:
        return ending, None
    cause = {"exit_code": ended.code} if ended.signal is None else {"signal": ended.signal}
    facts = {"peak_memory": ended.peak_kib * 1024, **cause}
    if doom is not None and (error := timeout_error(run, doom)) is not None:
        return ending, {**error, **facts}
    if ending is Ending.LOST and max_cpu and ended.signal == signal.SIGXCPU:
        message = f"{cpu_used_up(max_cpu)} and was killed, as it did not end by itself"
        return Ending.FAILED, {"type": "CpuLimitError", "message": message, **facts}
    message = f"the worker {ended} while it ran the job (peak memory {ended.peak_kib // 1024} MiB)"
    return ending, {"type": "WorkerLostError", "message": message, **facts}


def timeout_error(run: Run, doom: KillReason) -> dict[str, Any] | None:
    """The error of a job that has had its time, if it has."""
    if doom not in (KillReason.TIMED_OUT, KillReason.SILENT):
        return None
    silent = doom is KillReason.SILENT
    message = f"gave no sign of life for {run.silence:g} s" if silent else f"ran longer than {run.timeout:g} s"
    return {"type": "JobTimeoutError", "message": message}
