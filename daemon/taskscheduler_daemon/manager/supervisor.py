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
from taskscheduler_daemon.ipc.node_proxy import Uplink
from taskscheduler_daemon.manager.assigner import Crew
from taskscheduler_daemon.manager.async_attempts import AsyncRuns
from taskscheduler_daemon.manager.crash_report import obituary
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.scaling import to_spawn
from taskscheduler_daemon.manager.pool.worker_state import Doom, Member
from taskscheduler_daemon.manager.worker_handle import Hands
from taskscheduler_daemon.manager.worker_messages import WorkerMail
from taskscheduler_daemon.system.exits import Exit
from taskscheduler_daemon.system.kill import kill_adopted, kill_tree
from taskscheduler_daemon.system.spawn import ForkError, spawn

if TYPE_CHECKING:
    from taskscheduler_daemon.factory import WorkerFactory
    from taskscheduler_daemon.ipc.link import Settings
    from taskscheduler_daemon.worker.worker import Worker

logger = logging.getLogger(__name__)

_STRANGERS_EVERY = 0.1


class WorkerProcesses:
    """The children of a manager: its workers, and orphans that it adopted from them."""

    def __init__(
        self,
        pool: Pool,
        crew: Crew,
        mail: WorkerMail,
        async_runs: AsyncRuns,
        uplink: Uplink,
        factory: WorkerFactory,
        settings: Settings,
        selector: selectors.BaseSelector,
    ) -> None:
        self.strangers_at = NEVER  #: when to look for orphans again
        self._pool = pool
        self._crew = crew
        self._mail = mail
        self._async = async_runs
        self._up = uplink
        self._factory = factory
        self._settings = settings
        self._selector = selector

    def start(self, now: float) -> None:
        """Start as many workers as there should be more."""
        ordinary, forced = to_spawn(self._pool, now)
        try:
            for number in range(ordinary + forced):
                self._start_one(forced=number >= ordinary)
        except ForkError as error:
            logger.error("no new worker", extra={"reason": str(error)})
            self._pool.boots.refused(now)

    def _start_one(self, forced: bool) -> None:
        worker_id, hands = ObjectId(), Hands()
        settings, factory = self._settings, self._factory

        def main() -> int:
            settings.limits.impose()
            worker: Worker = factory.build_worker(worker_id)
            return worker.process_all(
                hands.inbox, hands.slot, settings.progress_limit, settings.max_payload, settings.limits
            )

        pid = spawn(main, title="ts-worker", keep=[hands.inbox.fileno()], die_with_parent=True)
        self._crew.hands[pid] = hands
        member = self._pool.spawned(worker_id.binary, pid, forced)
        self._selector.register(hands.end, selectors.EVENT_READ, partial(self._mail.read, member))
        self._up.push(messages.notice(Kind.WORKER, event="worker_spawn", worker=worker_id, pid=pid))

    def ended(self, ended: Exit, now: float) -> None:
        """Clear up after a child; what a worker had not begun, others get."""
        member = self._pool.members.get(ended.pid)
        if member is None:
            return
        self._mail.read(member)
        self._crew.take_back(member, now, dead=True)
        # its event loop may have read on while async jobs were ending: what is behind the first has not begun either
        self._pool.taken_back(member, list(member.runs)[1:], now)
        self._pool.gone(ended.pid, now)
        hands = self._crew.hands.pop(ended.pid)
        self._selector.unregister(hands.end)
        hands.close()
        if member.running is not None:
            self._bury(member, member.running, ended, now)
        self._async.bury(member, ended, now)
        if self._pool.stopping:
            self._up.hand_back(self._pool.drain())
        facts = {"worker": ObjectId(member.id), "pid": ended.pid, "exit": str(ended)}
        self._up.push(messages.notice(Kind.WORKER, event="worker_kill", **facts))

    def _bury(self, member: Member, run: Run, ended: Exit, now: float) -> None:
        """Say how the job ended that a worker took with it."""
        if member.doom is Doom.CANCELED:
            self._up.left(run)
            return
        ending, error = obituary(run, member.doom, ended, self._settings.limits.cpu)
        # whether the job wants to be notified only a worker could tell: in doubt it is
        hook = {"hook": True} if ending is Ending.FAILED else {}
        self._up.report(ending, run, member.id, now - member.since, error=error, **hook)

    def kill_strangers(self, now: float) -> None:
        """Children that are no workers are orphans of dead ones; look again until none is left."""
        more = kill_adopted(set(self._pool.members))
        self.strangers_at = now + _STRANGERS_EVERY if more else NEVER

    def kill_all(self) -> None:
        """Whatever they do."""
        for pid in self._pool.members:
            kill_tree(pid)
        kill_adopted(set())
