"""QueueNode: forks the manager while the process has one thread, then connects; begins again after a fault."""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from blinker import Namespace

from taskscheduler.clock import SYSTEM_CLOCK, Clock, Deadline
from taskscheduler.errors import DatabaseUnavailableError, InvalidOptionError, SchedulerError
from taskscheduler.event_names import FLOW_EVENTS, event_name
from taskscheduler.events import Announcer, Events, Handler
from taskscheduler.jobs.executor import Container
from taskscheduler.model.exception_texts import loggable
from taskscheduler.process import Processes
from taskscheduler.scheduler import Scheduler
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import StoreError, translated
from taskscheduler.waiting.listener import BackgroundListener, Listener
from taskscheduler_daemon.factory import ModuleWorkerFactory, WorkerFactory, built_manager, check_factory
from taskscheduler_daemon.ipc.link import Link, ManagerSettings
from taskscheduler_daemon.job_modules import try_import
from taskscheduler_daemon.logs import listed
from taskscheduler_daemon.node.connecting import open_store
from taskscheduler_daemon.node.options import split
from taskscheduler_daemon.node.session import Session
from taskscheduler_daemon.node.state.manager_starts import ManagerStarts
from taskscheduler_daemon.node.state.session_end import SessionEnd
from taskscheduler_daemon.node.watchers import Watchers
from taskscheduler_daemon.system.exits import EXIT_BOOT, EXIT_OK
from taskscheduler_daemon.system.garbage import rare_collections
from taskscheduler_daemon.system.kill import kill_adopted, kill_tree
from taskscheduler_daemon.system.log_files import remember_log_files
from taskscheduler_daemon.system.procfs import children, thread_count
from taskscheduler_daemon.system.reap import reap_strangers, wait_for
from taskscheduler_daemon.system.resource_limits import ResourceLimits
from taskscheduler_daemon.system.signal_pipe import SignalPipe
from taskscheduler_daemon.system.spawn import ForkError, adopt_orphans, spawn
from taskscheduler_daemon.system.standard_streams import open_standard_streams

_ORPHANS_END_WITHIN = 2.0

_THREADS_END_WITHIN = 3.0  #: seconds that the threads of a closed client get to end before the manager is forked


@dataclass(frozen=True, slots=True)
class WorkerEvent:
    """A worker that was started or has ended, as handlers of worker_spawn and worker_kill get it."""

    id: Any  #: the worker's ObjectId
    pid: int
    exit: str = ""  #: how it ended


class QueueNode:
    """Runs jobs until it is stopped: forks a worker manager, connects, claims, writes results.

    `scheduler` says where the jobs are and must not have been used yet: the manager is forked before anything
    connects. Options as keywords: those of the node (name, version, queues, jobs, orphaned_timeout, stop_timeout,
    kill_grace, keep_children, capture, echo, max_jobs, max_lost, unknown_timeout, progress_rate_limit, tracing,
    metrics_port, metrics_host, max_memory, max_cpu, max_files, max_processes) and, for the default factory, those of
    the pool (pm, min_children, max_children, max_forced, async_jobs, worker_max_jobs, worker_max_age,
    worker_max_growth, idle_ttl); InvalidOptionError for anything else.
    `emitter` is a blinker Namespace of yours.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        factory: WorkerFactory | None = None,
        *,
        container: Container | None = None,
        logger: logging.Logger | None = None,
        emitter: Namespace | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **options: Any,
    ) -> None:
        self._options, self._pool = split(options)
        if not isinstance(scheduler, Scheduler):
            raise InvalidOptionError(f"a QueueNode needs a Scheduler, not {type(scheduler).__name__}")
        if factory is not None:
            check_factory(factory)
        if self._options.progress_rate_limit is not None:
            scheduler.set_options(progress_rate_limit=self._options.progress_rate_limit)
        if self._options.tracing:
            scheduler.set_options(tracing=True)
        self._scheduler = scheduler
        self._factory = factory
        self._container = container
        self._logger = logger or logging.getLogger(__name__)
        self._events = Events(emitter, self._logger)
        self._clock = clock
        self._watchers = Watchers(self._options, clock)
        self._signals: SignalPipe | None = None
        self._listener: BackgroundListener | None = None

    def on(self, event: str, handler: Handler) -> Self:
        """Calls `handler(event_name, process)` at events of jobs anywhere, and at worker_spawn and worker_kill here.

        For the latter two, `process` is a WorkerEvent. Bind before `process`. Chainable. Raises InvalidOptionError for
        an unknown event, and for those of flows, which a Scheduler tells.
        """
        if event_name(event) in FLOW_EVENTS.values():
            raise InvalidOptionError(f"a node does not tell {event!r}: bind its handler with Scheduler.on instead")
        self._events.on(event, handler)
        return self

    def process(self) -> int:
        """Serves until SIGTERM or SIGINT and returns the exit code. Call it in the main thread.

        Raises InvalidJobError if a job module cannot be imported, ForkError if the process has threads already, and
        the errors of the database if it cannot be used at the start.
        """
        if threading.current_thread() is not threading.main_thread():
            raise ForkError("a queue node must run in the main thread of its process")
        self._await_single_thread()
        if thread_count() > 1:
            raise ForkError(
                "a queue node must start before this process has threads: give it a Scheduler made from a URI, and do "
                "not use that Scheduler or another MongoClient before"
            )
        open_standard_streams()
        remember_log_files()
        factory = self._factory or self._default_factory()
        self._relatives = set(children(os.getpid()))
        adopt_orphans()
        signals = self._signals = SignalPipe([signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD])
        try:
            self._watchers.open()
            return self._serve(factory, signals)
        finally:
            self._signals = None
            with _closing() as steps:
                steps.callback(self._watchers.close)
                steps.callback(signals.close)
                steps.callback(self._scheduler.close)

    def stop(self) -> None:
        """Asks the node to finish, as SIGTERM does; the second time, at once.

        Handlers and other threads may call it at any moment while `process` runs.
        """
        if (signals := self._signals) is not None:
            signals.send(signal.SIGTERM)

    def _default_factory(self) -> WorkerFactory:
        read_at = self._clock.monotonic()
        tried = try_import(self._options.jobs)
        version = self._options.version or tried.version
        self._options = replace(
            self._options, version=version, known=tried.names, schedules=tried.schedules, read_at=read_at
        )
        pool = asdict(self._pool)
        return ModuleWorkerFactory(self._scheduler, self._options.jobs, self._container, pool, tried.harmless)

    def _introduce(self, store: Store) -> None:
        """Logs what this node serves, and how; warns if it knows no jobs."""
        options, pool = self._options, self._pool
        facts = {
            "node": options.name,
            **({"version": options.version} if options.version else {}),
            "database": store.place,
            "jobs": listed(options.known) if options.known is not None else "those of its factory",
            "queues": listed(options.queues) if options.queues else "all",
            "workers": pool.describe() if self._factory is None else "those of its factory",
        }
        self._logger.info("node starts", extra=facts)
        if options.known == ():
            hint = "its modules register none" if options.jobs else "name their modules with --jobs yourapp.jobs"
            self._logger.warning(f"this node knows no jobs, so it can run none; {hint}")

    def _serve(self, factory: WorkerFactory, signals: SignalPipe) -> int:
        left, served, starts = self._options.max_jobs, False, ManagerStarts()
        while True:
            self._watchers.before_fork()
            link = self._fork_manager(factory)
            try:
                self._watchers.after_fork()
                end, finished = self._serve_once(link, signals, left)
                served = True
            except DatabaseUnavailableError as error:
                if not served:
                    raise
                self._logger.warning("no database; trying again", extra={"reason": str(error)})
                end, finished = SessionEnd.CRASHED, 0
            finally:
                with _closing() as steps:
                    steps.callback(self._scheduler.disconnect)
                    steps.callback(self._end_manager, link)
                    steps.callback(self._watchers.session_ends)
            if end is SessionEnd.STOPPED or (end is not SessionEnd.BROKEN and _asked_to_stop(signals)):
                return self._stopped()
            starts.ended(end)
            if end is SessionEnd.BROKEN:
                raise SchedulerError("no worker can be started: the worker factory or a job module fails; see the log")
            if starts.broken:
                raise SchedulerError("no worker manager can be started: build_manager ends its process; see the log")
            if _asked_to_stop(signals, within=starts.pause):
                return self._stopped()
            if left:
                left = max(1, left - finished)

    def _stopped(self) -> int:
        self._logger.info("node stopped", extra={"node": self._options.name})
        return EXIT_OK

    def _serve_once(self, link: Link, signals: SignalPipe, left: int) -> tuple[SessionEnd, int]:
        with translated():
            store = open_store(self._scheduler, signals)
            if store is None:
                return SessionEnd.STOPPED, 0
            self._introduce(store)
            session = Session(
                store=store,
                options=replace(self._options, max_jobs=left),
                link=link,
                signals=signals,
                announce=self._worker_event,
                clock=self._clock,
                totals=self._watchers.totals,
            )
            self._watchers.session_begins(session.vitals)
            if self._events.wanted:
                processes = Processes(self._scheduler)
                listener = Listener(processes, store, None, None)
                listener.open()
                self._listener = BackgroundListener(listener, Announcer(self._events, processes), self._clock)
            try:
                with rare_collections():  # here, so that managers are forked without it
                    return session.run(), session.finished
            finally:
                with _closing() as steps:
                    steps.callback(session.close)
                    steps.callback(self._stop_listener)

    def _stop_listener(self) -> None:
        listener, self._listener = self._listener, None
        try:
            if listener is not None:
                listener.stop()
        except (StoreError, SchedulerError) as error:
            self._logger.warning("events were not followed to the end", extra={"reason": str(error)[:200]})

    def _fork_manager(self, factory: WorkerFactory) -> Link:
        self._await_single_thread()
        options = self._scheduler.options
        settings = ManagerSettings(
            self._options.stop_timeout,
            self._options.kill_grace,
            options.progress_rate_limit / 1000,
            options.max_payload,
            self._limits(),
            self._options.keep_children,
            self._options.capture,
        )
        link = Link(settings)
        end = link.manager_end()

        def main() -> int:
            manager = built_manager(factory)
            return EXIT_BOOT if manager is None else manager.process(end)

        manager = spawn(main, title="ts-manager", keep=link.manager_descriptors(), die_with_parent=False)
        link.forked(manager)
        return link

    def _limits(self) -> ResourceLimits:
        options = self._options
        return ResourceLimits(options.max_memory, options.max_cpu, options.max_files, options.max_processes)

    def _await_single_thread(self) -> None:
        """Waits for the driver's threads of the session before, which take a moment to end."""
        deadline, pause = Deadline(_THREADS_END_WITHIN, self._clock), threading.Event()
        while thread_count() > 1 and not deadline.passed:
            pause.wait(0.02)

    def _end_manager(self, link: Link) -> None:
        """Kills whatever is left of a manager, whatever state it is in."""
        with ExitStack() as steps:
            steps.callback(self._end_orphans)
            steps.callback(wait_for, link.manager_pid)
            steps.callback(kill_tree, link.manager_pid)
            steps.callback(link.close)

    def _end_orphans(self) -> None:
        deadline = Deadline(_ORPHANS_END_WITHIN, self._clock)
        while kill_adopted(self._relatives, spare_group=True) and not deadline.passed:
            reap_strangers()
            threading.Event().wait(0.01)

    def _worker_event(self, facts: dict[str, Any]) -> None:
        self._watchers.worker_changed(facts)
        event: Any = WorkerEvent(facts["worker"], facts["pid"], facts.get("exit", ""))
        try:
            self._events.emit(facts["event"], event)
        except BaseException as error:  # also SystemExit: what ends this node are signals and `stop`
            self._logger.error("event handler failed", exc_info=loggable(error), extra={"event": facts["event"]})


@contextmanager
def _closing() -> Iterator[ExitStack]:
    """Takes all steps of an end, the last one first, each also if one before it has raised.

    Raises SchedulerError then: a node that cannot close has to end, whatever its session has come to, so that its
    supervisor starts another one.
    """
    try:
        with ExitStack() as steps:
            yield steps
    except Exception as error:
        logging.getLogger(__name__).error("the node could not close", exc_info=loggable(error))
        raise SchedulerError(f"the node could not close and ends: {type(error).__name__}; see the log") from error


def _asked_to_stop(signals: SignalPipe, within: float = 0.0) -> bool:
    """Returns whether a stop was asked for while no session was running; waits so many seconds for one."""
    deadline = Deadline(within)
    while {signal.SIGTERM, signal.SIGINT}.isdisjoint(signals.read()):
        if deadline.passed:
            return False
        select.select([signals], [], [], deadline.left(within))
    return True
