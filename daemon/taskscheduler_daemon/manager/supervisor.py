"""Starts workers, and says what becomes of them and their jobs when they have ended."""

from __future__ import annotations

import logging
import selectors
from functools import partial
from typing import TYPE_CHECKING

from bson import ObjectId

from taskscheduler.clock import NEVER
from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.messages import Kind, Run
from taskscheduler_daemon.ipc.node_proxy import NodeProxy
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.crash_report import crash_report
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.scaling import workers_to_spawn
from taskscheduler_daemon.manager.pool.worker_state import KillReason, WorkerState
from taskscheduler_daemon.manager.worker_handle import WorkerHandle
from taskscheduler_daemon.manager.worker_messages import WorkerMessages
from taskscheduler_daemon.system.exits import ChildExit
from taskscheduler_daemon.system.kill import kill_adopted, kill_tree
from taskscheduler_daemon.system.spawn import ForkError, spawn

if TYPE_CHECKING:
    from taskscheduler_daemon.factory import WorkerFactory
    from taskscheduler_daemon.ipc.link import ManagerSettings
    from taskscheduler_daemon.worker.worker import Worker

logger = logging.getLogger(__name__)

_STRANGERS_EVERY = 0.1


class WorkerSupervisor:
    """The children of a manager: its workers, and orphans that it adopted from them."""

    def __init__(
        self,
        pool: Pool,
        crew: Assigner,
        mail: WorkerMessages,
        async_runs: AsyncAttempts,
        uplink: NodeProxy,
        factory: WorkerFactory,
        settings: ManagerSettings,
        selector: selectors.BaseSelector,
    ) -> None:
        self.orphans_at = NEVER  #: when to look for orphans again
        self._pool = pool
        self._crew = crew
        self._mail = mail
        self._async = async_runs
        self._up = uplink
        self._factory = factory
        self._settings = settings
        self._selector = selector

    def spawn_missing(self, now: float) -> None:
        """Start as many workers as there should be more."""
        ordinary, forced = workers_to_spawn(self._pool, now)
        try:
            for number in range(ordinary + forced):
                self._spawn_one(forced=number >= ordinary)
        except ForkError as error:
            logger.error("no new worker", extra={"reason": str(error)})
            self._pool.boot_backoff.refused(now)

    def _spawn_one(self, forced: bool) -> None:
        worker_id, hands = ObjectId(), WorkerHandle()
        settings, factory = self._settings, self._factory

        def main() -> int:
            settings.limits.impose()
            worker: Worker = factory.build_worker(worker_id)
            return worker.process_all(
                hands.worker_end, hands.page, settings.progress_limit, settings.max_payload, settings.limits
            )

        pid = spawn(main, title="ts-worker", keep=[hands.worker_end.fileno()], die_with_parent=True)
        self._crew.handles[pid] = hands
        member = self._pool.spawned(worker_id.binary, pid, forced)
        self._selector.register(hands.manager_end, selectors.EVENT_READ, partial(self._mail.read, member))
        self._up.push(messages.notice(Kind.WORKER, event="worker_spawn", worker=worker_id, pid=pid))

    def exited(self, ended: ChildExit, now: float) -> None:
        """Clear up after a child; what a worker had not begun, others get."""
        member = self._pool.workers.get(ended.pid)
        if member is None:
            return
        self._mail.read(member)
        self._crew.recall(member, now, dead=True)
        # its event loop may have read on while async jobs were ending: what is behind the first has not begun either
        self._pool.recalled(member, list(member.runs)[1:], now)
        self._pool.exited(ended.pid, now)
        hands = self._crew.handles.pop(ended.pid)
        self._selector.unregister(hands.manager_end)
        hands.close()
        if member.running is not None:
            self._report_crash(member, member.running, ended, now)
        self._async.report_crash(member, ended, now)
        if self._pool.stopping:
            self._up.hand_back(self._pool.drain())
        facts = {"worker": ObjectId(member.id), "pid": ended.pid, "exit": str(ended)}
        self._up.push(messages.notice(Kind.WORKER, event="worker_kill", **facts))

    def _report_crash(self, member: WorkerState, run: Run, ended: ChildExit, now: float) -> None:
        """Say how the job ended that a worker took with it."""
        if member.kill_reason is KillReason.CANCELED:
            self._up.released(run)
            return
        ending, error = crash_report(run, member.kill_reason, ended, self._settings.limits.cpu)
        # whether the job wants to be notified only a worker could tell: in doubt it is
        hook = {"hook": True} if ending is Ending.FAILED else {}
        self._up.report(ending, run, member.id, now - member.since, error=error, **hook)

    def kill_adopted_orphans(self, now: float) -> None:
        """Children that are no workers are orphans of dead ones; look again until none is left."""
        more = kill_adopted(set(self._pool.workers))
        self.orphans_at = now + _STRANGERS_EVERY if more else NEVER

    def kill_all(self) -> None:
        """Whatever they do."""
        for pid in self._pool.workers:
            kill_tree(pid)
        kill_adopted(set())
