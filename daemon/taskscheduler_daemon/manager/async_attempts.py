"""Async runs between start and end: interrupts single ones, and has a worker killed whose event loop does not obey."""

from __future__ import annotations

from typing import Any

from taskscheduler.clock import NEVER
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.messages import Report
from taskscheduler_daemon.ipc.node_proxy import NodeProxy
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.crash_errors import REASONS, SIGNALLED, timeout_error
from taskscheduler_daemon.manager.pool.worker_state import AsyncEntry, KillReason, WorkerState


class AsyncAttempts:
    """Follows the async runs of all workers."""

    def __init__(self, assigner: Assigner, node: NodeProxy, grace: float) -> None:
        self._assigner = assigner
        self._node = node
        self._grace = grace  #: seconds that an interrupted job has to end

    def end(self, worker: WorkerState, job_id: bytes, reason: KillReason, now: float) -> None:
        """Has the worker interrupt one job; only the first reason counts."""
        entry = worker.async_runs[job_id]
        if entry.kill_reason is None:
            entry.kill_reason, entry.kill_at = reason, now + self._grace
            worker.alarm = min(worker.alarm, entry.kill_at)
            self._assigner.send(worker, messages.interrupt(job_id, reason.status))

    def end_all(self, worker: WorkerState, reason: KillReason, now: float) -> None:
        """Has the worker interrupt all its async jobs."""
        for job_id in list(worker.async_runs):
            self.end(worker, job_id, reason, now)

    def alive(self, worker: WorkerState, job_id: bytes, now: float) -> None:
        """Notes a sign of life of a run."""
        if job_id in worker.async_runs:
            worker.async_runs[job_id].alive_at = now

    def children_alive(self, worker: WorkerState, entry: AsyncEntry, at: float, now: float) -> None:
        """Interrupts a silent run unless a child of its job gave a sign of life, or it did itself meanwhile."""
        entry.asked_at, entry.alive_at = NEVER, max(entry.alive_at, at)
        if entry.kill_reason is None and now >= entry.silent_at():
            self.end(worker, entry.run.job_id, KillReason.SILENT, now)
        worker.alarm = min(worker.alarm, entry.wants_at())

    def enforce_deadlines(self, worker: WorkerState, now: float) -> None:
        """Interrupts the runs that timed out, and has the worker killed if an interrupted one is still there."""
        for job_id, entry in worker.async_runs.items():
            if now < entry.wants_at():
                continue
            if entry.kill_reason is None and now >= entry.times_out_at():
                self.end(worker, job_id, KillReason.TIMED_OUT, now)
            elif entry.kill_reason is None:
                entry.asked_at = now
                self._node.ask_for_children(entry.run)
            else:
                worker.kill_reason, worker.leaving = KillReason.BESIDE, True
                worker.kill_at = entry.kill_at = now
                worker.alarm = NEVER
                return
        worker.alarm = min((entry.wants_at() for entry in worker.async_runs.values()), default=NEVER)

    def ended(self, worker: WorkerState, report: Report, message: bytes) -> bool:
        """Passes the report of an async run on, or reports its interruption instead; False if this is no async run."""
        entry = worker.async_runs.get(report.job_id)
        if entry is None or entry.run.attempt != report.attempt:
            return False
        del worker.async_runs[report.job_id]
        if report.ending is not Ending.RETURNED:
            self._node.push(message)
            self._node.released(entry.run)
        elif entry.kill_reason is None:
            content = {"reason": SIGNALLED, "signalled": True}
            self._node.report(Ending.RETURNED, entry.run, worker.id, report.seconds, report.cost, **content)
        elif entry.kill_reason is KillReason.CANCELED:
            self._node.released(entry.run)
        else:
            self._report_interrupted(worker, entry, entry.kill_reason, report)
        return True

    def _report_interrupted(self, worker: WorkerState, entry: AsyncEntry, reason: KillReason, report: Report) -> None:
        error = timeout_error(entry.run, reason)
        ending = Ending.RETURNED if error is None else Ending.TIMED_OUT
        content: dict[str, Any] = {"reason": REASONS[reason]} if error is None else {"error": error}
        self._node.report(ending, entry.run, worker.id, report.seconds, report.cost, **content)
