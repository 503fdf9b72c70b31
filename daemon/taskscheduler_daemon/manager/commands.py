"""Carries out the commands of the node: run, cancel, renew the lease, stop, recycle.

Once the lease is over nothing runs here any more, with or without a command.
"""

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
from taskscheduler_daemon.manager.stacks import StackRequests
from taskscheduler_daemon.manager.timeouts import Timeouts
from taskscheduler_daemon.system.kill import kill_tree
from taskscheduler_daemon.system.log_files import reopen_log_files

logger = logging.getLogger(__name__)

_RUN = int(Kind.RUN)  # a plain number, as a comparison with it is faster: most commands are runs


class NodeCommands:
    """Carries out the commands of the node, and enforces its lease and its stop timeout."""

    def __init__(
        self,
        pool: Pool,
        assigner: Assigner,
        timeouts: Timeouts,
        async_attempts: AsyncAttempts,
        stacks: StackRequests,
        node: NodeProxy,
    ) -> None:
        self._pool = pool
        self._assigner = assigner
        self._timeouts = timeouts
        self._async = async_attempts
        self._stacks = stacks
        self._node = node
        self._lease_until = NEVER
        self._expired_lease = 0.0  #: the end of the last lease that was not renewed in time
        self._stop_at = NEVER

    def handle(self, received: list[bytes], now: float) -> None:
        """Carries out commands in the order in which they arrived."""
        for message in received:
            kind = message[0]
            if kind == _RUN:
                self._accept(Run.decode(message), now)
            elif kind == Kind.CANCEL:
                for job_id in messages.canceled_ids(message):
                    self.cancel(job_id, now)
            elif kind == Kind.LEASE:
                self._lease_until = messages.time_of(message)
                self.introduce()
            elif kind == Kind.ALIVE:
                self._timeouts.children_alive(*messages.sign_of_life(message), now)
            elif kind == Kind.STACK:
                self._stacks.ask(*messages.stack_question(message), now)
            elif kind == Kind.STOP:
                self.stop(messages.time_of(message), now)
            elif kind == Kind.RECYCLE:
                reopen_log_files()
                self._assigner.recycle()

    def introduce(self) -> None:
        """Reports the size of the pool to the node: no room for anything once this manager stops."""
        options, ready = self._pool.options, self._pool.is_ready
        if self._pool.stopping:
            self._node.introduce(options.pm, 0, 0, 0, ready)
        else:
            self._node.introduce(options.pm, options.slots, options.async_limit, options.forced_limit, ready)

    def _accept(self, run: Run, now: float) -> None:
        if self._pool.stopping:
            self._node.hand_back([run])
        else:
            self._pool.queues.add(run, now)

    def cancel(self, job_id: bytes, now: float) -> None:
        """Cancels a job: removes its run, or ends it in the worker that has begun it."""
        worker = self._pool.holder(job_id)
        if worker is not None and job_id in worker.async_runs:
            self._async.end(worker, job_id, KillReason.CANCELED, now)
        elif worker is not None and worker.running is not None and worker.running.is_attempt_of(job_id):
            self._timeouts.terminate(worker, KillReason.CANCELED, now)  # recalls it if the worker has not begun it
        elif worker is not None:
            self._assigner.recall(worker, now)
        run = self._pool.queues.remove(job_id)
        if run is not None:
            self._node.released(run)

    def stop(self, seconds: float, now: float) -> None:
        """Hands back all unread runs and lets the others finish within so many seconds.

        A second call may shorten that time.
        """
        self._stop_at = min(self._stop_at, now + seconds)
        self._pool.stopping = True
        for worker in list(self._pool.workers.values()):
            self._assigner.recall(worker, now)
        self._node.hand_back(self._pool.queues.drain())
        for worker in list(self._pool.workers.values()):
            self._assigner.dismiss(worker)
            if worker.serves:
                self._timeouts.terminate(worker, KillReason.RETURNED, now)

    def next_event(self, holds: bool) -> float:
        """Returns when the stop timeout ends, or the lease if the manager `holds` runs."""
        return min(self._stop_at, self._lease_until) if holds else self._stop_at

    def enforce(self, now: float) -> None:
        """Ends all jobs once the stop timeout or the lease is over."""
        if now >= self._stop_at:
            self._stop_at = NEVER
            self._timeouts.terminate_all(now)
        if now >= self._lease_until and self._pool.holds():
            self._kill_all_jobs(now)

    def _kill_all_jobs(self, now: float) -> None:
        """Kills all jobs: the node could not renew its lease in time, so other nodes may take them."""
        if self._expired_lease != self._lease_until:  # log once a lease: this repeats until the last worker is gone
            self._expired_lease = self._lease_until
            logger.error("lease not renewed in time; killing all jobs")
        self._node.hand_back(self._pool.queues.drain())
        for worker in list(self._pool.workers.values()):
            self._assigner.recall(worker, now)
            if worker.runs or worker.async_runs:
                worker.kill_reason = worker.kill_reason or KillReason.LEASE_ENDED
                kill_tree(worker.pid)
        self._node.hand_back(self._pool.queues.drain())
