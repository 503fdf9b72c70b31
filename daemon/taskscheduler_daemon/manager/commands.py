"""What a node has its manager do: run and cancel jobs, stop, and nothing at all once its lease is over."""

from __future__ import annotations

import logging

from taskscheduler.clock import NEVER
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.messages import Kind, Run
from taskscheduler_daemon.ipc.node_proxy import NodeProxy
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.worker_state import KillReason
from taskscheduler_daemon.manager.timeouts import Timeouts
from taskscheduler_daemon.system.kill import kill_tree

logger = logging.getLogger(__name__)


class NodeCommands:
    """Carries out what the node says."""

    def __init__(
        self, pool: Pool, crew: Assigner, deadlines: Timeouts, async_runs: AsyncAttempts, uplink: NodeProxy
    ) -> None:
        self._pool = pool
        self._crew = crew
        self._deadlines = deadlines
        self._async = async_runs
        self._up = uplink
        self._lease_until = NEVER
        self._lapsed_at = 0.0  #: the end of the last lease that was not renewed in time
        self._stop_at = NEVER

    def handle(self, received: list[bytes], now: float) -> None:
        """Deal with messages from the node."""
        for message in received:
            kind = messages.kind_of(message)
            if kind == Kind.RUN:
                run = Run.decode(message)
                if self._pool.stopping:
                    self._up.hand_back([run])
                else:
                    self._pool.accept(run, now)
            elif kind == Kind.CANCEL:
                for job_id in messages.canceled_ids(message):
                    self.cancel(job_id, now)
            elif kind == Kind.LEASE:
                self._lease_until = messages.time_of(message)
                self._up.introduce(self._pool.options)
            elif kind == Kind.STOP:
                self.stop(messages.time_of(message), now)
            elif kind == Kind.RECYCLE:
                self._crew.recycle()

    def cancel(self, job_id: bytes, now: float) -> None:
        """End a job, wherever it is."""
        member = self._pool.holder(job_id)
        if member is not None:
            self._crew.recall(member, now)  # the worker may not have begun it
        run = self._pool.remove_waiting(job_id)
        if run is not None:
            self._up.released(run)
        elif member is None:
            return
        elif job_id in member.async_runs:
            self._async.end(member, job_id, KillReason.CANCELED, now)
        elif member.running is not None and member.running.job_id == job_id:
            self._deadlines.terminate(member, KillReason.CANCELED, now)

    def stop(self, seconds: float, now: float) -> None:
        """Hand back what has not begun, let the rest finish for so long; a second call may bring the end forward."""
        self._stop_at = min(self._stop_at, now + seconds)
        self._pool.stopping = True
        for member in list(self._pool.workers.values()):
            self._crew.recall(member, now)
        self._up.hand_back(self._pool.drain())
        for member in list(self._pool.workers.values()):
            self._crew.dismiss(member)
            if member.serves:
                self._deadlines.terminate(member, KillReason.RETURNED, now)

    def next_event(self) -> float:
        """When something is to be done without another word of the node."""
        return min(self._stop_at, self._lease_until) if self._pool.holds() else self._stop_at

    def enforce(self, now: float) -> None:
        """End what runs when the node has stopped for long enough, or has lost its lease."""
        if now >= self._stop_at:
            self._stop_at = NEVER
            self._deadlines.terminate_all(now)
        if now >= self._lease_until and self._pool.holds():
            self._lose_lease(now)

    def _lose_lease(self, now: float) -> None:
        """The node could not renew its lease in time: other nodes may take the jobs, so nothing may run here."""
        if self._lapsed_at != self._lease_until:  # once a lapse: this is called until the last worker is gone
            self._lapsed_at = self._lease_until
            logger.error("lease not renewed in time; killing all jobs")
        self._up.hand_back(self._pool.drain())
        for member in list(self._pool.workers.values()):
            self._crew.recall(member, now)
            if member.runs or member.async_runs:
                kill_tree(member.pid)
        self._up.hand_back(self._pool.drain())
