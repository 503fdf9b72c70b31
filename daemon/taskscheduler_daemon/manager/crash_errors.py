"""The errors stored for the jobs whose worker process died."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any, NamedTuple

from taskscheduler.model.attempts.cost import Cost
from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.losses import LEASE_ENDED, ending_of_lost
from taskscheduler_daemon.ipc.messages import NOT_MEASURED, Run
from taskscheduler_daemon.manager.pool.pool import Casualty
from taskscheduler_daemon.manager.pool.worker_state import KillReason
from taskscheduler_daemon.system.exits import ChildExit
from taskscheduler_daemon.system.resource_limits import cpu_used_up

_TIMEOUTS = (KillReason.TIMED_OUT, KillReason.SILENT)

SIGNALLED = "its worker was asked to end by a signal"

REASONS = {
    KillReason.RETURNED: "its node stopped while it ran",
    KillReason.LEASE_ENDED: LEASE_ENDED,
    KillReason.BESIDE: "its worker was killed with another job, which did not end when it had to",
}


class CrashReport(NamedTuple):
    """The end of a run whose worker died."""

    run: Run
    ending: Ending | None  #: None if it was cancelled: it is only released
    seconds: float  #: how long it ran
    cost: Cost  #: of each of its jobs
    content: dict[str, Any]


class WorkerDeath(NamedTuple):
    """How a worker ended, and what it ran then."""

    exit: ChildExit
    signalled: bool = False  #: whether a signal had asked it to end
    together: int = 1  #: jobs that it had begun
    spent: float = NOT_MEASURED  #: CPU seconds before the only run that it had begun

    @property
    def was_requested(self) -> bool:
        """Whether it ended because somebody asked it to."""
        return self.signalled or self.exit.was_requested

    @property
    def cost(self) -> Cost:
        """What the run cost: CPU time, unless others ran beside it, and the peak memory of the worker."""
        cpu = None if self.spent == NOT_MEASURED else max(0.0, self.exit.cpu - self.spent)
        return Cost(cpu, self.exit.peak_kib * 1024)


def crash_reports(casualty: Casualty, exit: ChildExit, max_cpu: float, now: float) -> Iterator[CrashReport]:
    """Yields the report of each run that a worker took with it: the ordinary one, then the async ones."""
    worker, run = casualty.worker, casualty.run
    together = sum(entry.run.jobs for entry in casualty.async_runs) + (0 if run is None else run.jobs)
    is_measured = casualty.spent != NOT_MEASURED and len(casualty.async_runs) + (run is not None) == 1
    death = WorkerDeath(exit, casualty.signalled, together, casualty.spent if is_measured else NOT_MEASURED)
    if run is not None:
        yield _report(run, worker.kill_reason, death, now - worker.since, max_cpu)
    for entry in casualty.async_runs:
        yield _report(entry.run, entry.kill_reason or worker.kill_reason, death, now - entry.since)


def _report(run: Run, reason: KillReason | None, death: WorkerDeath, seconds: float, max_cpu: float = 0) -> CrashReport:
    cost = death.cost.share(run.jobs)
    if reason is KillReason.CANCELED:
        return CrashReport(run, None, seconds, cost, {})
    ending, content = crash_report(run, reason, death, max_cpu)
    if ending is Ending.RETURNED:
        content["died"] = _cause(death.exit)
    # whether the job has a notification hook only a worker could tell: in doubt it is called
    return CrashReport(run, ending, seconds, cost, {**content, "hook": True} if ending is Ending.FAILED else content)


def crash_report(
    run: Run, reason: KillReason | None, death: WorkerDeath, max_cpu: float = 0
) -> tuple[Ending, dict[str, Any]]:
    """Returns how the attempt ended, and its error: the cause, exit code or signal, and peak memory in bytes.

    An attempt that is handed back has a reason instead, which says who ended it.
    """
    if reason in REASONS:
        return Ending.RETURNED, {"reason": REASONS[reason]}
    exit = death.exit
    facts = {"peak_memory": exit.peak_kib * 1024, **_cause(exit)}
    if reason is not None and (error := timeout_error(run, reason)) is not None:
        return Ending.TIMED_OUT, {"error": {**error, **facts}}
    if max_cpu and exit.signal == signal.SIGXCPU:
        message = f"{cpu_used_up(max_cpu)} and was killed, as it did not end by itself"
        return Ending.FAILED, {"error": {"type": "CpuLimitError", "message": message, **facts}}
    ending = ending_of_lost(True, death.together, death.was_requested)
    if ending is Ending.RETURNED:
        return ending, {"reason": f"{SIGNALLED}; it {exit}", "signalled": True}
    ran = "the job" if ending is Ending.LOST else f"{death.together} jobs, each of which runs alone next"
    message = f"the worker {exit} while it ran {ran} (peak memory {exit.peak_kib // 1024} MiB)"
    return ending, {"error": {"type": "WorkerLostError", "message": message, **facts}}


def _cause(exit: ChildExit) -> dict[str, Any]:
    return {"exit_code": exit.code} if exit.signal is None else {"signal": exit.signal}


def timeout_error(run: Run, reason: KillReason) -> dict[str, Any] | None:
    """Returns the error of a run that timed out or fell silent; None for another reason."""
    if reason not in _TIMEOUTS:
        return None
    silent = reason is KillReason.SILENT
    message = f"gave no sign of life for {run.silence:g} s" if silent else f"ran longer than {run.timeout:g} s"
    return {"type": "JobTimeoutError", "message": message}
