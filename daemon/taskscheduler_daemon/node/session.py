"""Session: one life of a node under one lease, from a fork of the manager until a stop or a fault."""

from __future__ import annotations

import logging
import os
import selectors
import signal
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from taskscheduler.clock import Clock
from taskscheduler.operations.declare_schedules import withdraw
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError
from taskscheduler_daemon.ipc.channel import Receiver
from taskscheduler_daemon.ipc.link import Link
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.ipc.messages import Begun
from taskscheduler_daemon.logs import NODE_READY
from taskscheduler_daemon.node.heartbeat import Heartbeat
from taskscheduler_daemon.node.manager_messages import ManagerMessages
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.output.echo import JobEcho
from taskscheduler_daemon.node.output.reader import OutputReader
from taskscheduler_daemon.node.parts import SessionParts
from taskscheduler_daemon.node.state.drain import Drain
from taskscheduler_daemon.node.state.session_end import SessionEnd
from taskscheduler_daemon.node.state.totals import Totals
from taskscheduler_daemon.node.vitals import Vitals
from taskscheduler_daemon.system.exits import EXIT_BOOT
from taskscheduler_daemon.system.log_files import reopen_log_files
from taskscheduler_daemon.system.reap import ended, reap_strangers
from taskscheduler_daemon.system.signal_pipe import SignalPipe
from taskscheduler_daemon.system.threads import SessionThreads

logger = logging.getLogger(__name__)

_RATE_EVERY = 0.1  #: seconds between two rounds of the main loop while attempts are in flight

_LONGEST_WAIT = 60.0

_SAY_SOON = 0.5  #: seconds between two rounds while the log has to say how many lines were left out

_STOP_MARGIN = 5.0  #: seconds beyond stop_timeout after which a manager that does not end is killed

_KILL_MARGIN = 1.0  #: the same beyond kill_grace, for a manager that was asked to stop at once


class Session:
    """Connects a manager that has been forked to the database, and runs the main loop of the node."""

    def __init__(
        self,
        store: Store,
        options: NodeOptions,
        link: Link,
        signals: SignalPipe,
        announce: Callable[[dict[str, Any]], None],
        clock: Clock,
        totals: Totals | None = None,
    ) -> None:
        """`announce` is called with the facts about each worker that was started or has ended; `totals` counts on."""
        self._store = store
        self._options = options
        self._link = link
        self._signals = signals
        self._end: SessionEnd | None = None
        self._begun: Begun = frozenset()  #: what ran when the manager died
        self._manager_was_asked = False  #: to end, by the signal of somebody else
        self._why = "its node stopped while it ran"  #: why attempts are handed back at the end
        self._drain = Drain(options.name)
        self._stopping = 0  #: how many signals asked for it
        self._nothing_runs = self._is_written = False  #: how far `close` has come
        self._threads = threads = SessionThreads(self._crashed)
        self._manager = ManagerProxy(link.down, signals)
        self._parts = parts = SessionParts(
            store=store,
            options=options,
            manager=self._manager,
            manager_pid=link.manager_pid,
            clock=clock,
            threads=threads,
            totals=totals,
        )
        echo = JobEcho(parts.logs) if options.echo else None
        self._output = OutputReader(link.outputs, parts.logs, clock, threads, echo)
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
            parts=parts,
            heartbeat=self._heartbeat,
            announce=announce,
        )
        self._clock = clock
        self.vitals = Vitals(store, options, parts, signals, clock)

    @property
    def finished(self) -> int:
        """The number of attempts that have ended here."""
        return self._parts.reports.ended_as.total()

    def run(self) -> SessionEnd:
        """Serves until something ends this session. Raises StoreError if the database cannot be used at the start."""
        parts = self._parts
        parts.wakeups.start()  # before the first search, so that nothing added in between is missed
        parts.control_watch.start()
        self._heartbeat.start()
        parts.logs.start()
        self._output.start()
        parts.completer.start()
        parts.claimer.start()
        parts.maintainer.start()
        facts = {"node": self._options.name, "boot": str(parts.node.boot), "pid": os.getpid()}
        logger.info(NODE_READY, extra=facts)
        with selectors.DefaultSelector() as selector:
            selector.register(self._link.up, selectors.EVENT_READ)
            selector.register(self._signals, selectors.EVENT_READ)
            end = self._loop(selector)
        # a node that was asked to stop begins no other session, whatever happened in between
        is_over = self._stopping or self._drain.is_asked
        return SessionEnd.STOPPED if is_over and end is not SessionEnd.BROKEN else end

    def _loop(self, selector: selectors.BaseSelector) -> SessionEnd:
        writing, manager = False, self._manager
        while self._end is None:
            longest = _SAY_SOON if self._parts.log.has_more_to_say else _LONGEST_WAIT
            if len(self._parts.in_flight):
                longest = min(longest, _RATE_EVERY)
                if self._parts.in_flight.gathered:
                    longest = min(longest, max(0.0, self._parts.dispatcher.next_due - self._clock.monotonic()))
            stuck = not manager.flush()
            if stuck != writing:
                if stuck:
                    selector.register(manager.writable, selectors.EVENT_WRITE)
                else:
                    selector.unregister(manager.writable)
                writing = stuck
            ready = selector.select(self._parts.watchdog.until_kill(longest))
            self._step(any(key.fileobj is self._signals for key, _ in ready))
        return self._end

    def _step(self, signaled: bool) -> None:
        parts, now = self._parts, self._clock.monotonic()
        self.vitals.turned()
        heard = self._messages.receive()
        self._end_as_asked()
        for number in self._signals.read() if signaled else ():
            self._signalled(number)
        self._review_kept(now)
        parts.watchdog.check(now if heard else None)
        parts.claimer.slots_free()
        parts.capacity.speed.rate(now)
        if parts.capacity.budget.is_exhausted and not len(parts.in_flight) and not self._stopping:
            self.stop()
        if self._drain.is_done(parts.in_flight) and not self._stopping:
            self.stop()
        parts.log.keep_time(now)

    def _review_kept(self, now: float) -> None:
        """Sends suspects and what waited for them when it is their turn."""
        parts, was_closed = self._parts, self._parts.in_flight.closed
        if parts.in_flight.gathered and not self._stopping and parts.dispatcher.next_due <= now:
            parts.dispatcher.send_due(now)
        for report in parts.dispatcher.hand_back_kept() if self._stopping else parts.dispatcher.review(now):
            parts.reports.ended(report)
        if was_closed and not parts.in_flight.closed:
            parts.claimer.look_everywhere()

    def _signalled(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self.stop()
        elif number == signal.SIGHUP:
            reopen_log_files()
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
            self._why = f"the worker manager {how} while it held the job"
            self._begun, self._manager_was_asked = self._link.begun.read(), how.was_requested
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
            self.vitals.is_stopping = True
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

    def drain(self) -> None:
        """Takes no new jobs; the main loop stops the node when those that it has are done."""
        if self._drain.ask():
            self.vitals.is_draining = True
            self._threads.start("drain", self._claim_no_more)

    def _claim_no_more(self) -> None:
        self._parts.claimer.stop()
        self._drain.claims_no_more()
        self._signals.wake()

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

    def _absolve(self) -> None:
        """Takes back what another node has charged, as this one is not lost: its lease has only ended."""
        try:
            self._store.leases.absolve(self._parts.in_flight.fences())
        except StoreError as error:
            logger.warning("charges of running jobs not taken back", extra={"reason": str(error)[:200]})

    def close(self) -> None:
        """Hands back what is left, writes everything, and disconnects from the database.

        Takes every step, also after one that raised; raises the last of the errors, with the others as its context.
        """
        parts = self._parts
        self.vitals.stops()
        with ExitStack() as steps:  # the last one first
            steps.callback(self._sign_off)
            steps.callback(self._heartbeat.stop)
            steps.callback(parts.logs.stop)
            steps.callback(self._output.stop)
            steps.callback(self._store_metrics)
            steps.callback(self._write_what_is_left)
            steps.callback(parts.log.tell)
            steps.callback(self._hand_back)
            steps.callback(parts.family_signs.stop)
            steps.callback(parts.maintainer.stop)
            steps.callback(parts.control_watch.stop)
            steps.callback(parts.wakeups.stop)
            steps.callback(parts.claimer.stop)
            steps.callback(self._end_jobs)

    def _end_jobs(self) -> None:
        """Nothing may run any more when it is handed back, or others run it, too."""
        if self._end in (None, SessionEnd.CRASHED, SessionEnd.LEASE_LOST):
            self._parts.watchdog.kill()
        self._nothing_runs = True

    def _hand_back(self) -> None:
        if self._end is SessionEnd.LEASE_LOST:
            self._absolve()
        elif self._nothing_runs:
            self._parts.dispatcher.release_all(self._why, self._begun, self._manager_was_asked)

    def _write_what_is_left(self) -> None:
        is_written = self._parts.completer.stop(self._may_drop_results)
        self._is_written = is_written and self._end is not SessionEnd.LEASE_LOST

    def _store_metrics(self) -> None:
        if self._parts.lease.is_safe:  # else the database does not answer
            self._parts.metrics_writer.run_last()

    def _sign_off(self) -> None:
        """Removes the node from the database, unless jobs are left that others can take only if they know of it."""
        boot = self._parts.node.boot
        try:
            self._parts.hooks.close()
            if self._options.schedules:
                withdraw(self._store, boot)
            if self._is_written and not self._store.leases.held_by(boot):
                self._store.nodes.remove(boot)
        except StoreError as error:
            logger.warning("node not signed off", extra={"reason": str(error)[:200]})
