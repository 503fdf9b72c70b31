"""Session: one life of a node under one lease, from a fork of the manager until a stop or a fault."""

from __future__ import annotations

import logging
import os
import selectors
import signal
from collections.abc import Callable
from typing import Any

from taskscheduler.clock import Clock
from taskscheduler.model.lifecycle import Ending
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.ipc.channel import Receiver
from taskscheduler_daemon.ipc.link import Link
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.logs import NODE_READY
from taskscheduler_daemon.node.heartbeat import Heartbeat
from taskscheduler_daemon.node.manager_messages import ManagerMessages
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.parts import SessionParts
from taskscheduler_daemon.node.state.session_end import SessionEnd
from taskscheduler_daemon.system.exits import EXIT_BOOT
from taskscheduler_daemon.system.reap import ended, reap_strangers
from taskscheduler_daemon.system.signal_pipe import SignalPipe
from taskscheduler_daemon.system.threads import SessionThreads

logger = logging.getLogger(__name__)

_RATE_EVERY = 0.1  #: seconds between two rounds of the main loop while attempts are in flight

_LONGEST_WAIT = 60.0

_STOP_MARGIN = 5.0  #: seconds beyond stop_timeout after which a manager that does not end is killed

_KILL_MARGIN = 1.0  #: the same beyond kill_grace, for a manager that was asked to stop at once


class Session:
    """Connects a manager that has been forked to the database, and runs the main loop of the node."""

    def __init__(
        self,
        store: Store,
        options: NodeOptions,
        link: Link,
        manager_pid: int,
        signals: SignalPipe,
        announce: Callable[[dict[str, Any]], None],
        clock: Clock,
    ) -> None:
        """`announce` is called with the facts about each worker that was started or has ended."""
        self._store = store
        self._options = options
        self._up = link.up
        self._signals = signals
        self._end: SessionEnd | None = None
        self._manager_died = False  #: without a message that it stops
        self._stopping = 0  #: how many signals asked for it
        self._threads = threads = SessionThreads(self._crashed)
        self._manager = ManagerProxy(link.down, signals)
        self._parts = parts = SessionParts(
            store=store, options=options, manager=self._manager, manager_pid=manager_pid, clock=clock, threads=threads
        )
        self._heartbeat = Heartbeat(
            store=store,
            node=parts.node,
            lease=parts.lease,
            status=parts.status,
            holder=self,
            clock=clock,
            threads=threads,
        )
        self._messages = ManagerMessages(
            receiver=Receiver(link.up),
            reports=parts.reports,
            locks=parts.locks,
            status=parts.status,
            claimer=parts.claimer,
            heartbeat=self._heartbeat,
            announce=announce,
        )
        self._clock = clock

    @property
    def finished(self) -> int:
        """The number of attempts that have ended here."""
        return self._parts.reports.ended_as.total()

    def run(self) -> SessionEnd:
        """Serves until something ends this session. Raises StoreError if the database cannot be used at the start."""
        parts = self._parts
        parts.wakeups.start()  # before the first search, so that nothing added in between is missed
        self._heartbeat.start()
        parts.completer.start()
        parts.claimer.start()
        parts.maintainer.start()
        facts = {"node": self._options.name, "boot": str(parts.node.boot), "pid": os.getpid()}
        logger.info(NODE_READY, extra=facts)
        with selectors.DefaultSelector() as selector:
            selector.register(self._up, selectors.EVENT_READ)
            selector.register(self._signals, selectors.EVENT_READ)
            end = self._loop(selector)
        # a node that was asked to stop begins no other session, whatever happened in between
        return SessionEnd.STOPPED if self._stopping and end is not SessionEnd.BROKEN else end

    def _loop(self, selector: selectors.BaseSelector) -> SessionEnd:
        writing, manager = False, self._manager
        while self._end is None:
            stuck = not manager.flush()
            if stuck != writing:
                if stuck:
                    selector.register(manager.writable, selectors.EVENT_WRITE)
                else:
                    selector.unregister(manager.writable)
                writing = stuck
            longest = _RATE_EVERY if len(self._parts.in_flight) else _LONGEST_WAIT
            ready = selector.select(self._parts.watchdog.until_kill(longest))
            self._step(any(key.fileobj is self._signals for key, _ in ready))
        return self._end

    def _step(self, signaled: bool) -> None:
        parts, now = self._parts, self._clock.monotonic()
        heard = self._messages.receive()
        self._end_as_asked()
        parts.capacity.speed.rate(now)
        parts.claimer.slots_free()
        for number in self._signals.read() if signaled else ():
            self._signalled(number)
        if parts.capacity.budget.is_exhausted and not len(parts.in_flight) and not self._stopping:
            self.stop()
        parts.watchdog.check(now if heard else None)

    def _signalled(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self.stop()
        elif number == signal.SIGHUP:
            logger.info("each worker is replaced after its current job; new code needs a restart of the node")
            self._manager.recycle()
        elif number == signal.SIGCHLD:
            self._check_manager()
            reap_strangers(known=self._parts.watchdog.pid)

    def _check_manager(self) -> None:
        """Ends the session if the manager has ended, after handling what it sent before."""
        pid = self._parts.watchdog.pid
        how = ended(pid)
        if how is None:
            return
        self._messages.receive_all()
        self._end_as_asked()
        if self._end is None and how.code == EXIT_BOOT:
            self._end = SessionEnd.BROKEN
        elif self._end is None:
            logger.error("the worker manager died", extra={"manager": pid, "how": str(how)})
            self._manager_died = True
            self._end = SessionEnd.MANAGER_DIED if self._messages.is_built else SessionEnd.MANAGER_NOT_BUILT

    def _end_as_asked(self) -> None:
        end = self._messages.end
        if end is SessionEnd.STOPPED and not self._stopping:
            logger.warning("the worker manager ended by itself", extra={"manager": self._parts.watchdog.pid})
            end = SessionEnd.MANAGER_ENDED
        if end is not None:  # else another thread may have set an end
            self._end = end

    def stop(self) -> None:
        """Stops gracefully; the second time, at once."""
        self._stopping += 1
        if self._stopping == 1:
            logger.info("node stops", extra={"node": self._options.name, "running": len(self._parts.in_flight)})
            self._parts.hooks.stop()
            self._threads.start("stop", self._stop_claiming)
        else:
            self._parts.watchdog.kill_after(self._options.kill_grace + _KILL_MARGIN)
            self._manager.stop_now()

    def _stop_claiming(self) -> None:
        """Ends claiming first, so that the manager hands back everything that it has not started."""
        self._parts.claimer.stop()
        self._parts.watchdog.kill_within(self._options.stop_timeout + _STOP_MARGIN)
        self._manager.stop(self._options.stop_timeout)

    def lease_renewed(self, lapsed: bool) -> None:
        """Allows jobs to run for longer; after a time without a lease, searches for those added meanwhile."""
        if lapsed:
            self._parts.claimer.look_everywhere()
        self._parts.watchdog.asked()  # the manager answers each of these
        self._manager.lease(self._parts.lease.safe_until)

    def lease_lost(self) -> None:
        """Ends the session: other nodes run the jobs of this one."""
        logger.error("another node has taken over the jobs of this one", extra={"node": self._options.name})
        self._end = SessionEnd.LEASE_LOST
        self._signals.wake()

    def _crashed(self) -> None:
        self._end = SessionEnd.CRASHED
        self._signals.wake()

    def _may_drop_results(self) -> bool:
        """Whether unwritten results may be dropped because another node will run these jobs again.

        So it is when a node that stops waits for its database beyond its lease, or is asked once more to stop.
        """
        if not self._stopping:
            return self._end is SessionEnd.LEASE_LOST
        asked_again = self._stopping > 1 or not {signal.SIGTERM, signal.SIGINT}.isdisjoint(self._signals.read())
        return asked_again or self._end is SessionEnd.LEASE_LOST or not self._parts.lease.is_safe

    def close(self) -> None:
        """Hands back what is left, writes everything, and disconnects from the database."""
        parts = self._parts
        if self._end in (None, SessionEnd.CRASHED, SessionEnd.LEASE_LOST):
            parts.watchdog.kill()  # nothing may run any more when it is handed back, or others run it
        parts.claimer.stop()
        parts.wakeups.stop()
        parts.maintainer.stop()
        if self._end is not SessionEnd.LEASE_LOST:
            parts.dispatcher.release_all(Ending.LOST if self._manager_died else Ending.RETURNED)
        is_written = parts.completer.stop(self._may_drop_results)
        self._heartbeat.stop()
        try:
            if is_written and not self._store.leases.held_by(parts.node.boot):
                self._store.nodes.remove(parts.node.boot)
        except StoreError as error:
            logger.warning("node not signed off", extra={"reason": str(error)[:200]})
