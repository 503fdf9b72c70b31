"""One connected life of a node: from a fork of the manager until a stop, a dead manager or a lost lease."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.model.lifecycle import Ending
from taskscheduler.scheduler import Scheduler
from taskscheduler.store.driver_errors import StoreError
from taskscheduler.store.fence import Fence
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.channel import Receiver
from taskscheduler_daemon.ipc.link import Link
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.ipc.messages import Kind, Report
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.completion.completer import Completer
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.completion.hooks import HookCalls
from taskscheduler_daemon.node.dispatch.dispatcher import Dispatcher
from taskscheduler_daemon.node.dispatch.reports import ReportHandler
from taskscheduler_daemon.node.heartbeat import Heartbeat
from taskscheduler_daemon.node.maintenance.failure_detector import FailureDetector
from taskscheduler_daemon.node.maintenance.leaked_claims import LeakedClaims
from taskscheduler_daemon.node.maintenance.maintainer import Caretaker
from taskscheduler_daemon.node.maintenance.reconciler import SILENCE
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.state.in_flight import Ledger
from taskscheduler_daemon.node.status import NodeStatus
from taskscheduler_daemon.node.wakeups import Follower, News
from taskscheduler_daemon.system.exits import EXIT_BOOT
from taskscheduler_daemon.system.kill import kill_tree
from taskscheduler_daemon.system.reap import ended, reap_strangers
from taskscheduler_daemon.system.signal_pipe import SignalPipe

logger = logging.getLogger(__name__)

_RATE_EVERY = 0.1

_LONGEST_WAIT = 60.0

_STOP_MARGIN = 5.0  #: seconds beyond stop_timeout after which a manager that does not end is killed


class SessionEnd(Enum):
    """Why a session ended."""

    STOPPED = auto()
    MANAGER_DIED = auto()
    LEASE_LOST = auto()
    BROKEN = auto()  #: no worker can be built, or no manager
    CRASHED = auto()  #: a thread of the node ended by an exception that nobody expected


class Session:
    """Connects a manager that has been forked to the database, and runs the node's main loop."""

    def __init__(
        self,
        scheduler: Scheduler,
        options: NodeOptions,
        link: Link,
        manager: int,
        signals: SignalPipe,
        worker_event: Callable[[dict[str, Any]], None],
        clock: Clock,
        jobs_left: int,
    ) -> None:
        self._options = options
        self._manager = manager
        self._signals = signals
        self._worker_event = worker_event
        self._clock = clock
        self._store = scheduler.store
        self._boot = ObjectId()
        self._ledger = Ledger()
        self._end: SessionEnd | None = None
        self._manager_died = False  #: without having said that it stops
        self._stopping = 0  #: how many signals asked for it
        self._kill_at = float("inf")
        self._heard_at = float("-inf")  #: when the manager last said anything
        self._asked_at = float("inf")  #: since when it owes an answer
        self._held_until = float("inf")  #: when the lease ends
        self._up_channel, self._up = link.up, Receiver(link.up)
        self._down = ManagerProxy(link.down, signals.wake)
        lease = float(options.orphaned_timeout or self._store.options.orphaned_timeout)
        self._patience = max(lease, SILENCE)  #: seconds that the manager has to answer
        self._compose(jobs_left, lease)

    def _compose(self, jobs_left: int, lease: float) -> None:
        store, options, ledger, boot = self._store, self._options, self._ledger, self._boot
        down, clock, crashed, most = self._down, self._clock, self._crashed, self._options.max_lost
        self._notifications = notify = HookCalls(store, down)
        self._departures = departures = ExclusiveLocks(store, lease)
        self._writer = writer = Completer(store, options.name, departures.release_unknown, notify.call, crashed, clock)
        self._custody = custody = Dispatcher(ledger, departures, down, writer, most, clock)
        self._claimer = claimer = Claimer(
            store, ledger, boot, options.name, options.queues, custody.dispatch, crashed, clock, jobs_left, lease
        )
        self._reports = ReportHandler(ledger, claimer, writer, notify, departures, down, most, clock)
        self._facts = NodeStatus(options, ledger, lease, self._reports.ended_as)
        self._heart = Heartbeat(store, boot, lease, self._facts.all, self._renewed, self._lease_lost, crashed, clock)
        self._caretaker = Caretaker(
            store,
            ledger,
            FailureDetector(lease),
            boot,
            claimer.look_everywhere,
            claimer.idle,
            custody.cancel,
            self._missing,
            departures.extend_all,
            LeakedClaims(claimer.unsettled, writer.barrier),
            notify.call,
            most,
            lease,
            crashed,
            clock,
        )
        news = News(claimer, self._caretaker, custody)
        self._follower = Follower(store, claimer.idle, news.heard, news.missed, crashed)

    @property
    def finished(self) -> int:
        """How many attempts have ended here."""
        return self._reports.ended_as.total()

    # -- life -------------------------------------------------------------------------------------------------------

    def run(self) -> SessionEnd:
        """Serve until something ends this session."""
        self._follower.start()  # before the first look at the store, so that nothing added in between is missed
        self._heart.start()
        self._writer.start()
        self._claimer.start()
        self._caretaker.start()
        logger.info("node ready", extra={"node": self._options.name, "boot": str(self._boot), "pid": os.getpid()})
        with selectors.DefaultSelector() as selector:
            selector.register(self._up_channel, selectors.EVENT_READ)
            selector.register(self._signals, selectors.EVENT_READ)
            end = self._loop(selector)
        # who was asked to stop has nothing to begin anew, whatever came in between
        return SessionEnd.STOPPED if self._stopping and end is not SessionEnd.BROKEN else end

    def _loop(self, selector: selectors.BaseSelector) -> SessionEnd:
        writing, down = False, self._down
        while self._end is None:
            stuck = not down.flush()
            if stuck != writing:
                selector.register(down.writable, selectors.EVENT_WRITE) if stuck else selector.unregister(down.writable)
                writing = stuck
            ready = selector.select(min(_RATE_EVERY if len(self._ledger) else _LONGEST_WAIT, self._until_kill()))
            self._step(any(key.fileobj is self._signals for key, _ in ready))
        return self._end

    def _step(self, signaled: bool) -> None:
        now = self._clock.monotonic()
        for message in (received := self._up.receive()):
            self._from_manager(message)
        if received:
            self._heard_at, self._asked_at = now, float("inf")
        self._ledger.rate(now)
        self._claimer.slots_free()
        for number in self._signals.read() if signaled else ():
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stop()
            elif number == signal.SIGHUP:
                logger.info("workers are replaced, each after its job; new code needs a restart of the node")
                self._down.recycle()
            elif number == signal.SIGCHLD:
                self._check_manager()
                reap_strangers(known=self._manager)
        if self._claimer.exhausted and not len(self._ledger) and not self._stopping:
            self.stop()
        self._end_manager_if_due(self._clock.monotonic())

    def _end_manager_if_due(self, now: float) -> None:
        """Kill it if it does not end, or hangs: what it runs is to be handed back, for which nothing may be left."""
        if now >= self._kill_at or now - self._asked_at > self._patience:
            logger.error("the worker manager does not answer, or end; killing it", extra={"manager": self._manager})
            self._kill_at = self._asked_at = float("inf")
            kill_tree(self._manager)

    def _until_kill(self) -> float:
        return max(0.0, min(_LONGEST_WAIT, self._kill_at - self._clock.monotonic()))

    def _from_manager(self, message: bytes) -> None:
        kind = messages.kind_of(message)
        if kind == Kind.REPORT:
            self._reports.ended(Report.decode(message))
        elif kind == Kind.PROGRESS:
            self._reports.progressed(Report.decode(message))
        elif kind == Kind.HELD:
            self._reports.held(messages.held_entries(message))
        elif kind == Kind.POOL:
            if self._facts.pool_is(messages.facts_of(message)):
                self._claimer.look_everywhere()
                self._heart.beat_now()
        elif kind == Kind.WORKER:
            facts = messages.facts_of(message)
            self._facts.worker_changed(facts)
            self._worker_event(facts)
        elif kind == Kind.GONE:
            self._departures.release(*messages.gone_attempt(message))
        elif kind == Kind.BROKEN:
            self._end = SessionEnd.BROKEN
        elif kind == Kind.STOPPED:
            self._end = SessionEnd.STOPPED

    # -- ends -------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Finish gracefully; the second time, at once."""
        self._stopping += 1
        if self._stopping == 1:
            logger.info("node stops", extra={"node": self._options.name, "running": len(self._ledger)})
            self._notifications.stop()
            threading.Thread(target=self._stop_claiming, name="taskscheduler-stop").start()
        else:
            self._kill_at = self._clock.monotonic() + self._options.kill_grace + 1.0
            self._down.stop_now()

    def _stop_claiming(self) -> None:
        """First no more claims, then the word to the manager: it hands back all that it has not begun."""
        self._claimer.stop()
        due = self._clock.monotonic() + self._options.stop_timeout + _STOP_MARGIN
        self._kill_at = min(self._kill_at, due)  # a second signal may have come in the meantime
        self._down.stop(self._options.stop_timeout)

    def _check_manager(self) -> None:
        """If the manager has ended: what it sent before is still to be read."""
        how = ended(self._manager)
        if how is None:
            return
        for message in self._up.receive(most_frames=1_000_000):
            self._from_manager(message)
        if self._end is None and how.code == EXIT_BOOT:
            self._end = SessionEnd.BROKEN
        elif self._end is None:
            logger.error("the worker manager died", extra={"manager": self._manager, "how": str(how)})
            self._manager_died = True
            self._end = SessionEnd.MANAGER_DIED

    def _missing(self, fence: Fence) -> None:
        """An attempt of which the manager has said nothing for long. One that may hang may still run it."""
        if self._asked_at == float("inf") and self._clock.monotonic() - self._heard_at <= self._patience:
            self._custody.missing(fence)

    def _renewed(self, until: float) -> None:
        self._held_until = until
        self._claimer.renewed(until)
        if self._heard_at > float("-inf"):
            self._asked_at = min(self._asked_at, self._clock.monotonic())  # it answers each of these
        self._down.lease(until)

    def _lease_lost(self) -> None:
        logger.error("another node has taken over the jobs of this one", extra={"node": self._options.name})
        self._end = SessionEnd.LEASE_LOST
        self._signals.wake()

    def _crashed(self) -> None:
        self._end = SessionEnd.CRASHED
        self._signals.wake()

    def _may_drop_results(self) -> bool:
        """Whether what is not written yet need not be: others run it once more, or are to.

        So it is when a node that stops waits for its database beyond its lease, or is asked once more to stop.
        """
        if not self._stopping:
            return self._end is SessionEnd.LEASE_LOST
        asked_again = self._stopping > 1 or not {signal.SIGTERM, signal.SIGINT}.isdisjoint(self._signals.read())
        return asked_again or self._end is SessionEnd.LEASE_LOST or self._clock.monotonic() >= self._held_until

    def close(self) -> None:
        """Hand back what is left, write everything, let go of the database."""
        if self._end in (None, SessionEnd.CRASHED, SessionEnd.LEASE_LOST):
            kill_tree(self._manager)  # nothing may run any more when it is handed back, or others have it
        self._claimer.stop()
        self._follower.stop()
        self._caretaker.stop()
        if self._end is not SessionEnd.LEASE_LOST:
            self._custody.release_all(Ending.LOST if self._manager_died else Ending.RETURNED)
        is_written = self._writer.stop(self._may_drop_results)
        self._heart.stop()
        try:
            if is_written and not self._store.leases.held_by(self._boot):
                self._store.nodes.remove(self._boot)
        except StoreError as error:
            logger.warning("node not signed off", extra={"reason": str(error)[:200]})
