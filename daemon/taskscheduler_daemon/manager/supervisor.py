"""Starts workers, and reports what became of them and their jobs."""

from __future__ import annotations

import logging
import selectors
import socket
from functools import partial
from typing import Protocol

from bson import ObjectId

from taskscheduler.clock import NEVER
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.link import ManagerEnd
from taskscheduler_daemon.ipc.messages import Kind
from taskscheduler_daemon.ipc.node_proxy import NodeProxy
from taskscheduler_daemon.ipc.output_pipes import WorkerPipes, open_pipes
from taskscheduler_daemon.ipc.shared_page import SharedPage
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.crash_errors import crash_reports
from taskscheduler_daemon.manager.pool.pool import Casualty, LastWords, Pool
from taskscheduler_daemon.manager.pool.scaling import workers_to_spawn
from taskscheduler_daemon.manager.worker_handle import WorkerHandle
from taskscheduler_daemon.manager.worker_messages import WorkerMessages
from taskscheduler_daemon.system.exits import ChildExit
from taskscheduler_daemon.system.kill import kill_adopted, kill_tree
from taskscheduler_daemon.system.resource_limits import ResourceLimits
from taskscheduler_daemon.system.spawn import ForkError, spawn

logger = logging.getLogger(__name__)

_ORPHANS_EVERY = 0.1  #: seconds


class BuiltWorker(Protocol):
    """A worker, as its new process runs it."""

    def process_all(
        self,
        end: socket.socket,
        page: SharedPage,
        progress_limit: float,
        max_payload: int,
        limits: ResourceLimits,
        keep_children: bool,
        output: WorkerPipes | None,
        /,
    ) -> int: ...


class WorkerBuilder(Protocol):
    """The part of a worker factory that builds workers, each in its new process."""

    def build_worker(self, id: ObjectId, /) -> BuiltWorker: ...


class WorkerSupervisor:
    """Starts and reaps the children of a manager: its workers, and the orphans that it adopts from them."""

    def __init__(
        self,
        pool: Pool,
        assigner: Assigner,
        worker_messages: WorkerMessages,
        node: NodeProxy,
        builder: WorkerBuilder,
        link: ManagerEnd,
        selector: selectors.BaseSelector,
    ) -> None:
        self.orphans_at = NEVER  #: when to look for orphans again
        self._pool = pool
        self._assigner = assigner
        self._worker_messages = worker_messages
        self._node = node
        self._builder = builder
        self._settings = link.settings
        self._begun = link.begun
        self._outputs = link.outputs
        self._selector = selector

    def spawn_missing(self, now: float) -> None:
        """Starts as many workers as the pool needs; if the system refuses one, the next try comes after a pause."""
        ordinary, forced = workers_to_spawn(self._pool, now)
        try:
            for number in range(ordinary + forced):
                self._spawn_one(forced=number >= ordinary)
        except ForkError as error:
            logger.error("cannot start a worker", extra={"reason": str(error)})
            self._pool.boot_backoff.refused(now)

    def _spawn_one(self, forced: bool) -> None:
        worker_id, handle = ObjectId(), WorkerHandle(self._begun.row(1 + self._pool.options.async_limit))
        settings, builder = self._settings, self._builder
        pipes = open_pipes(self._outputs, worker_id.binary, settings.capture)

        def main() -> int:
            settings.limits.impose()
            worker = builder.build_worker(worker_id)
            return worker.process_all(
                handle.worker_end,
                handle.page,
                settings.progress_limit,
                settings.max_payload,
                settings.limits,
                settings.keep_children,
                pipes,
            )

        kept = [handle.worker_end.fileno(), handle.page.stacks.fileno(), *(pipes.writers if pipes is not None else ())]
        try:
            pid = spawn(main, title="ts-worker", keep=kept, die_with_parent=True)
        except ForkError:
            handle.close()
            raise
        finally:
            if pipes is not None:
                pipes.close()
        self._assigner.handles[pid] = handle
        worker = self._pool.spawned(worker_id.binary, pid, forced)
        self._selector.register(handle.manager_end, selectors.EVENT_READ, partial(self._worker_messages.read, worker))
        self._node.push(messages.notice(Kind.WORKER, event="worker_spawn", worker=worker_id, pid=pid))

    def exited(self, exit: ChildExit, now: float) -> None:
        """Reports a worker that has ended and the runs it took with it; other workers get those that it had not begun.

        Other children, adopted orphans, are ignored.
        """
        casualty = self._casualty(exit.pid, now)
        if casualty is None:
            return
        self._report(casualty, exit, now)
        if self._pool.stopping:
            self._node.hand_back(self._pool.queues.drain())
        facts = {"worker": ObjectId(casualty.worker.id), "pid": exit.pid, "exit": str(exit)}
        self._node.push(messages.notice(Kind.WORKER, event="worker_kill", **facts))

    def _casualty(self, pid: int, now: float) -> Casualty | None:
        """Removes a worker that has ended; what it reported last is handled first."""
        worker = self._pool.workers.get(pid)
        if worker is None:
            return None
        self._worker_messages.read(worker)
        handle = self._assigner.handles.pop(pid)
        left = LastWords(handle.recall(), handle.page.row.begun(), handle.page.signalled, handle.page.spent)
        self._selector.unregister(handle.manager_end)
        handle.close()
        return self._pool.exited(pid, left, now)

    def _report(self, casualty: Casualty, exit: ChildExit, now: float) -> None:
        for run, ending, seconds, cost, content in crash_reports(casualty, exit, self._settings.limits.cpu, now):
            if ending is None:
                self._node.released(run)
            else:
                self._node.report(ending, run, casualty.worker.id, seconds, cost, **content)

    def kill_adopted_orphans(self, now: float) -> None:
        """Kills children that are no workers: orphans of dead ones. Looks again until none is left."""
        more = kill_adopted(set(self._pool.workers))
        self.orphans_at = now + _ORPHANS_EVERY if more else NEVER

    def kill_all(self) -> None:
        """Kills all workers and everything below them."""
        for pid in self._pool.workers:
            kill_tree(pid)
        kill_adopted(set())
