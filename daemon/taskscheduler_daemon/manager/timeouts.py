"""Ends jobs whose time is over, and the workers that run them: SIGTERM, then SIGKILL after the grace time."""

from __future__ import annotations

import signal

from taskscheduler.clock import NEVER
from taskscheduler_daemon.ipc.node_proxy import NodeProxy
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.worker_state import KillReason, WorkerState
from taskscheduler_daemon.manager.worker_messages import WorkerMessages
from taskscheduler_daemon.system.kill import kill, kill_tree, signal_group

_UNTIL_REAPED = 1.0  #: seconds after which a killed worker that is still there is killed again


class Timeouts:
    """Enforces the deadlines of running jobs and of the workers that have to end."""

    def __init__(
        self,
        pool: Pool,
        assigner: Assigner,
        worker_messages: WorkerMessages,
        async_attempts: AsyncAttempts,
        node: NodeProxy,
        kill_grace: float,
    ) -> None:
        self._pool = pool
        self._assigner = assigner
        self._worker_messages = worker_messages
        self._async = async_attempts
        self._node = node
        self._kill_grace = kill_grace

    def enforce(self, now: float) -> None:
        """Interrupts and kills the workers whose deadlines have passed."""
        for worker in list(self._pool.workers.values()):
            if now >= worker.interrupt_at:
                worker.interrupt_sent(now)
                signal_group(worker.pid, signal.SIGTERM)
            elif now >= worker.kill_at:
                kill_tree(worker.pid)
                worker.kill_at = now + _UNTIL_REAPED
            elif now >= worker.times_out_at():
                self.terminate(worker, KillReason.TIMED_OUT, now)
            elif now >= worker.silent_at():
                self._check_silence(worker, now)
            if now >= worker.alarm:
                self._async.enforce_deadlines(worker, now)

    def _check_silence(self, worker: WorkerState, now: float) -> None:
        """Asks the node for signs of life of the children of a silent job; the job's own stand in the shared page."""
        self._hear(worker)
        if (run := worker.running) is not None and now >= worker.silent_at():
            worker.asked_at = now
            self._node.ask_for_children(run)

    def _hear(self, worker: WorkerState) -> None:
        worker.alive_at = max(worker.alive_at, self._assigner.handles[worker.pid].page.touched())

    def children_alive(self, job_id: bytes, attempt: int, at: float, now: float) -> None:
        """Terminates the worker of a silent job, unless a child of the job gave a sign of life that is new enough."""
        worker = self._pool.holder(job_id)
        if worker is None:
            return
        entry = worker.async_runs.get(job_id)
        if entry is not None and entry.run.attempt == attempt:
            self._async.children_alive(worker, entry, at, now)
        elif (run := worker.running) is not None and (run.job_id, run.attempt) == (job_id, attempt):
            worker.asked_at, worker.alive_at = NEVER, max(worker.alive_at, at)
            self._hear(worker)
            if now >= worker.silent_at():
                self.terminate(worker, KillReason.SILENT, now)

    def terminate(self, worker: WorkerState, reason: KillReason, now: float) -> None:
        """Ends the job that a worker runs, and the worker with it: SIGTERM now, SIGKILL after the grace time.

        The runs that it has not read are recalled before; if the job is among them, or its end was on its way, the
        worker stays. A service that is stopped is asked to end first, and has the time that it was promised. Async
        jobs are ended one by one, and their worker stays.
        """
        if worker.async_runs:
            self._async.end_all(worker, reason, now)
            return
        run = worker.running
        self._assigner.recall(worker, now)
        self._worker_messages.read(worker)
        if worker.running is run and worker.kill_reason is None:
            self._interrupt(worker, reason, now)

    def _interrupt(self, worker: WorkerState, reason: KillReason, now: float) -> None:
        run = worker.running
        worker.kill_reason = reason
        self._assigner.handles[worker.pid].page.kill_status = reason.status
        if run is not None and worker.serves and reason in (KillReason.CANCELED, KillReason.RETURNED):
            worker.stop_requested(run, now)
            kill(worker.pid, signal.SIGTERM)
            return
        worker.kill_at = now + self._kill_grace
        signal_group(worker.pid, signal.SIGTERM)

    def terminate_all(self, now: float) -> None:
        """Ends all jobs within the grace time, also services that were promised more."""
        for worker in list(self._pool.workers.values()):
            self.terminate(worker, KillReason.RETURNED, now)
            if worker.serves:
                worker.shorten_to(now, self._kill_grace)
