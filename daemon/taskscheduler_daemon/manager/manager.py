"""The worker manager: one thread, one loop over messages, signals, workers and deadlines. It never opens MongoDB.

What to do is decided in the modules around `pool`; how to fork, kill and wait in `process`. Here it is put together.
"""

from __future__ import annotations

import os
import selectors
import signal
from typing import TYPE_CHECKING, Any

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.channel import Receiver
from taskscheduler_daemon.ipc.messages import Kind
from taskscheduler_daemon.ipc.node_proxy import NodeProxy
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.async_attempts import AsyncAttempts
from taskscheduler_daemon.manager.commands import NodeCommands
from taskscheduler_daemon.manager.pool.assignment import well_supplied
from taskscheduler_daemon.manager.pool.hand_back import async_to_hand_back, next_look, to_hand_back
from taskscheduler_daemon.manager.pool.options import PoolOptions
from taskscheduler_daemon.manager.pool.pool import Pool, account
from taskscheduler_daemon.manager.pool.recycling import next_retirement, to_retire
from taskscheduler_daemon.manager.supervisor import WorkerSupervisor
from taskscheduler_daemon.manager.timeouts import Timeouts
from taskscheduler_daemon.manager.worker_messages import WorkerMessages
from taskscheduler_daemon.system.exits import EXIT_BOOT, EXIT_OK
from taskscheduler_daemon.system.reap import reap
from taskscheduler_daemon.system.signal_pipe import SignalPipe
from taskscheduler_daemon.system.spawn import adopt_orphans

if TYPE_CHECKING:
    from taskscheduler_daemon.factory import WorkerFactory
    from taskscheduler_daemon.ipc.link import ManagerEnd

_HELD_EVERY = 1.0  #: seconds between two accounts of what the manager holds

_LINGER = 0.001

_LONGEST_WAIT = 60.0


class WorkerManager:
    """Keeps the workers of one node. Built by a worker factory in the new process.

    Takes the pool options (pm, min_children, ...) as keywords; see PoolOptions. InvalidOptionError for a bad one.
    """

    def __init__(self, factory: WorkerFactory, clock: Clock = SYSTEM_CLOCK, **options: Any) -> None:
        self._factory = factory
        self._clock = clock
        self._options = PoolOptions.of(options)

    def process(self, link: ManagerEnd) -> int:
        """Serve a node until it stops or dies; the exit code of the process."""
        adopt_orphans()
        signals = SignalPipe([signal.SIGCHLD, signal.SIGTERM])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the node's affair
        return _Management(self._factory, self._clock, self._options, link, signals).run()


class _Management:
    """What a manager is made of while it serves."""

    def __init__(
        self, factory: WorkerFactory, clock: Clock, options: PoolOptions, link: ManagerEnd, signals: SignalPipe
    ) -> None:
        self._clock = clock
        self._signals = signals
        self._stop_timeout = link.settings.stop_timeout
        self._held_at = 0.0
        self._down = Receiver(link.down)
        self._selector = selectors.DefaultSelector()
        self._selector.register(link.down, selectors.EVENT_READ, self._from_node)
        self._selector.register(signals, selectors.EVENT_READ, self._signaled)
        self._selector.register(link.lifeline, selectors.EVENT_READ, self._node_died)
        self._urgent = selectors.DefaultSelector()
        self._urgent.register(signals, selectors.EVENT_READ)
        self._urgent.register(link.lifeline, selectors.EVENT_READ)
        self._compose(factory, options, link)

    def _compose(self, factory: WorkerFactory, options: PoolOptions, link: ManagerEnd) -> None:
        settings = link.settings
        self._pool = pool = Pool(options)
        self._up = up = NodeProxy(link, self._selector)
        self._crew = crew = Assigner(pool)
        runs = AsyncAttempts(crew.send, up.report, up.released, settings.kill_grace)
        self._mail = mail = WorkerMessages(pool, crew, runs, up, settings.progress_limit, self._clock)
        self._deadlines = Timeouts(pool, crew, mail, runs, settings.kill_grace)
        self._orders = NodeCommands(pool, crew, self._deadlines, runs, up)
        self._workers = WorkerSupervisor(pool, crew, mail, runs, up, factory, settings, self._selector)

    def run(self) -> int:
        self._up.introduce(self._pool.options)
        try:
            return self._loop()
        finally:
            self._workers.kill_all()

    def _loop(self) -> int:
        while not self._finished():
            now = self._clock.monotonic()
            self._workers.spawn_missing(now)
            self._crew.assign(now)
            self._up.flush()
            if well_supplied(self._pool):
                self._urgent.select(_LINGER)  # what gathers in the meantime is dealt with in one go
            wait = max(0.0, min(self._next_event(now), _LONGEST_WAIT + now) - now)
            for key, _ in self._selector.select(wait):
                key.data()
            self._keep_times(self._clock.monotonic())
            if self._pool.boot_backoff.broken:
                return self._end(Kind.BROKEN, EXIT_BOOT)
        return self._end(Kind.STOPPED, EXIT_OK)

    def _finished(self) -> bool:
        return self._pool.stopping and not self._pool.workers

    def _end(self, last_word: Kind, code: int) -> int:
        self._up.push(messages.notice(last_word))
        self._up.flush()
        return code

    # -- what wakes it ----------------------------------------------------------------------------------------------

    def _from_node(self) -> None:
        self._orders.handle(self._down.receive(), self._clock.monotonic())

    def _signaled(self) -> None:
        now = self._clock.monotonic()
        if signal.SIGTERM in self._signals.read():
            self._orders.stop(self._stop_timeout, now)
        for ended in reap():
            self._workers.exited(ended, now)
        self._workers.kill_adopted_orphans(now)

    def _node_died(self) -> None:
        """The lifeline is closed: whatever runs here is not ours any more."""
        self._workers.kill_all()
        os._exit(EXIT_OK)

    # -- what it is time for ----------------------------------------------------------------------------------------

    def _next_event(self, now: float) -> float:
        pool = self._pool
        timers = [pool.next_event(now), next_look(pool, now), next_retirement(pool), self._orders.next_event()]
        timers += [self._mail.slots_at, self._workers.orphans_at]
        if pool.holds():
            timers.append(max(self._held_at + _HELD_EVERY, now))
        return min(timers)

    def _keep_times(self, now: float) -> None:
        self._deadlines.enforce(now)
        for member in to_retire(self._pool, now):
            self._crew.replace(member, now)
        self._orders.enforce(now)
        self._hand_back_stale(now)
        if now >= self._mail.slots_at:
            self._mail.read_slots(now)
        if now >= self._held_at + _HELD_EVERY and self._pool.holds():
            self._held_at = now
            self._up.push(messages.held(account(self._pool, now)))
        if now >= self._workers.orphans_at:
            self._workers.kill_adopted_orphans(now)

    def _hand_back_stale(self, now: float) -> None:
        if async_to_hand_back(self._pool, now):
            self._up.hand_back(self._pool.asynchronous.drain())
        stuck = to_hand_back(self._pool, now)
        if stuck is None:
            return
        for member in stuck:
            self._crew.recall(member, now)
        self._up.hand_back(self._pool.drain())
