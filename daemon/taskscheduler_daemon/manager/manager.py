"""The worker manager: one thread, one loop over messages, signals, workers and deadlines. It never opens MongoDB."""

from __future__ import annotations

import os
import selectors
import signal
from typing import Any

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.channel import Receiver
from taskscheduler_daemon.ipc.link import ManagerEnd
from taskscheduler_daemon.ipc.messages import Kind
from taskscheduler_daemon.ipc.node_proxy import NodeProxy
from taskscheduler_daemon.ipc.worker_reports import ReportReader
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.commands import NodeCommands
from taskscheduler_daemon.manager.pool.assignment import time_to_gather
from taskscheduler_daemon.manager.pool.hand_back import async_to_hand_back, next_look, to_hand_back
from taskscheduler_daemon.manager.pool.options import PoolOptions
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.recycling import next_retirement, to_retire
from taskscheduler_daemon.manager.stacks import StackRequests
from taskscheduler_daemon.manager.supervisor import WorkerBuilder, WorkerSupervisor
from taskscheduler_daemon.manager.timeouts import Timeouts
from taskscheduler_daemon.manager.worker_messages import WorkerMessages
from taskscheduler_daemon.system.exits import EXIT_BOOT, EXIT_OK
from taskscheduler_daemon.system.private_descriptors import keep_private
from taskscheduler_daemon.system.reap import reap
from taskscheduler_daemon.system.signal_pipe import SignalPipe
from taskscheduler_daemon.system.spawn import adopt_orphans

_INVENTORY_EVERY = 1.0  #: seconds

_LONGEST_WAIT = 60.0  #: seconds


class WorkerManager:
    """Keeps the workers of one node. Built by a worker factory in the new process.

    Takes the pool options (pm, min_children, ...) as keywords; see PoolOptions. InvalidOptionError for a bad one.
    """

    def __init__(self, factory: WorkerBuilder, clock: Clock = SYSTEM_CLOCK, **options: Any) -> None:
        self._builder = factory
        self._clock = clock
        self._options = PoolOptions.of(options)

    def process(self, link: ManagerEnd) -> int:
        """Serves a node until it stops or dies; returns the exit code of the process."""
        adopt_orphans()
        signals = SignalPipe([signal.SIGCHLD, signal.SIGTERM])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the node handles Ctrl-C
        return ManagerLoop(self._builder, self._clock, self._options, link, signals).run()


class ManagerLoop:
    """Puts the parts of a manager together, and runs its loop while it serves a node."""

    def __init__(
        self, builder: WorkerBuilder, clock: Clock, options: PoolOptions, link: ManagerEnd, signals: SignalPipe
    ) -> None:
        self._clock = clock
        self._signals = signals
        self._stop_timeout = link.settings.stop_timeout
        self._inventory_at = 0.0  #: when the last inventory was reported
        self._looked_at = 0.0  #: when stale work was last looked for
        self._from_node = Receiver(link.down)
        self._selector = selectors.DefaultSelector()
        self._selector.register(link.down, selectors.EVENT_READ, self._handle_commands)
        self._selector.register(signals, selectors.EVENT_READ, self._handle_signals)
        self._selector.register(link.lifeline, selectors.EVENT_READ, self._node_died)
        self._urgent = selectors.DefaultSelector()
        self._urgent.register(signals, selectors.EVENT_READ)
        self._urgent.register(link.lifeline, selectors.EVENT_READ)
        keep_private(self._selector.fileno(), self._urgent.fileno())
        self._compose(builder, options, link)

    def _compose(self, builder: WorkerBuilder, options: PoolOptions, link: ManagerEnd) -> None:
        settings = link.settings
        self._pool = pool = Pool(options)
        self._node = node = NodeProxy(link, self._selector)
        self._assigner = assigner = Assigner(pool)
        async_attempts = AsyncAttempts(assigner, node, settings.kill_grace)
        self._worker_messages = WorkerMessages(
            pool=pool,
            assigner=assigner,
            async_attempts=async_attempts,
            node=node,
            reader=ReportReader(settings.max_payload),
            clock=self._clock,
        )
        self._timeouts = Timeouts(
            pool=pool,
            assigner=assigner,
            worker_messages=self._worker_messages,
            async_attempts=async_attempts,
            node=node,
            kill_grace=settings.kill_grace,
        )
        self._stacks = StackRequests(pool, assigner, node)
        self._commands = NodeCommands(
            pool=pool,
            assigner=assigner,
            timeouts=self._timeouts,
            async_attempts=async_attempts,
            stacks=self._stacks,
            node=node,
        )
        self._supervisor = WorkerSupervisor(
            pool=pool,
            assigner=assigner,
            worker_messages=self._worker_messages,
            node=node,
            builder=builder,
            link=link,
            selector=self._selector,
        )

    def run(self) -> int:
        """Runs the loop; kills what is left when it ends. Returns the exit code of the process."""
        self._commands.introduce()
        try:
            return self._loop()
        finally:
            self._supervisor.kill_all()

    def _loop(self) -> int:
        while not self._finished():
            now = self._clock.monotonic()
            self._supervisor.spawn_missing(now)
            self._assigner.assign(now)
            if self._pool.newly_ready:
                self._pool.newly_ready = False
                self._commands.introduce()
            pause = time_to_gather(self._pool)
            self._node.flush()
            if pause:
                self._urgent.select(pause)  # what gathers in the meantime is dealt with in one go
            event_at = self._next_event(now)
            for key, _ in self._selector.select(max(0.0, min(event_at - now, _LONGEST_WAIT))):
                key.data()
            now = self._clock.monotonic()
            if now >= event_at:
                self._keep_times(now)
            if self._pool.boot_backoff.broken:
                return self._end(Kind.BROKEN, EXIT_BOOT)
        return self._end(Kind.STOPPED, EXIT_OK)

    def _finished(self) -> bool:
        return self._pool.stopping and not self._pool.workers

    def _end(self, last_word: Kind, code: int) -> int:
        self._node.push(messages.notice(last_word))
        self._node.flush()
        return code

    def _handle_commands(self) -> None:
        self._commands.handle(self._from_node.receive(), self._clock.monotonic())

    def _handle_signals(self) -> None:
        now = self._clock.monotonic()
        if signal.SIGTERM in self._signals.read():
            self._commands.stop(self._stop_timeout, now)
            self._commands.introduce()  # the node may know nothing of this, and would claim on
        for exit in reap():
            self._supervisor.exited(exit, now)
        self._supervisor.kill_adopted_orphans(now)

    def _node_died(self) -> None:
        """Kills everything and exits: the lifeline is closed, and other nodes may take the jobs."""
        self._supervisor.kill_all()
        os._exit(EXIT_OK)

    def _next_event(self, now: float) -> float:
        pool, holds = self._pool, self._pool.holds()
        timers = [pool.next_event(now), next_look(pool, self._looked_at), next_retirement(pool)]
        timers += [self._commands.next_event(holds), self._worker_messages.read_pages_at, self._supervisor.orphans_at]
        timers.append(self._stacks.look_at)
        if holds:
            timers.append(max(self._inventory_at + _INVENTORY_EVERY, now))
        return min(timers)

    def _keep_times(self, now: float) -> None:
        """Does everything whose time has come."""
        self._commands.enforce(now)
        self._timeouts.enforce(now)
        for worker in to_retire(self._pool, now):
            self._assigner.replace(worker, now)
        self._hand_back_stale(now)
        if now >= self._worker_messages.read_pages_at:
            self._worker_messages.read_pages(now)
        if now >= self._inventory_at + _INVENTORY_EVERY and self._pool.holds():
            self._inventory_at = now
            self._node.push(messages.held(self._pool.inventory()))
        if now >= self._stacks.look_at:
            self._stacks.look(now)
        if now >= self._supervisor.orphans_at:
            self._supervisor.kill_adopted_orphans(now)

    def _hand_back_stale(self, now: float) -> None:
        self._looked_at = now
        queues = self._pool.queues
        if async_to_hand_back(self._pool, now):
            self._node.hand_back(queues.asynchronous.drain())
        stuck = to_hand_back(self._pool, now)
        if stuck is None:
            return
        for worker in stuck:
            self._assigner.recall(worker, now)
        self._node.hand_back(queues.drain())
