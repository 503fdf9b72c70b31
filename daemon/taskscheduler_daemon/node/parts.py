"""SessionParts: the parts of a session, each built from those before it."""

from __future__ import annotations

import threading

from bson import ObjectId

from taskscheduler.clock import Clock
from taskscheduler.operations.control.turn_taking import TurnTaker
from taskscheduler.store import Store
from taskscheduler_daemon.ipc.manager_proxy import ManagerProxy
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.claiming.finder import JobFinder
from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.claiming.pipeline import ClaimPipeline
from taskscheduler_daemon.node.claiming.rate_check import RateCheck
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.claiming.successors import Successors
from taskscheduler_daemon.node.completion.aftermath import Aftermath
from taskscheduler_daemon.node.completion.completer import Completer, Logs
from taskscheduler_daemon.node.completion.exclusive_locks import ExclusiveLocks
from taskscheduler_daemon.node.completion.hooks import HookCalls
from taskscheduler_daemon.node.completion.job_log import JobLog
from taskscheduler_daemon.node.dispatch.dispatcher import Dispatcher
from taskscheduler_daemon.node.dispatch.family_signs import FamilySigns
from taskscheduler_daemon.node.dispatch.manager_watchdog import ManagerWatchdog
from taskscheduler_daemon.node.dispatch.reports import ReportHandler
from taskscheduler_daemon.node.dispatch.stacks import StackQuestions
from taskscheduler_daemon.node.maintenance.control_watch import ControlWatch
from taskscheduler_daemon.node.maintenance.declarer import Declarer
from taskscheduler_daemon.node.maintenance.duty import Duty
from taskscheduler_daemon.node.maintenance.flow_sweeper import FlowSweeper
from taskscheduler_daemon.node.maintenance.gatekeeper import Gatekeeper
from taskscheduler_daemon.node.maintenance.late_sweeper import LateSweeper
from taskscheduler_daemon.node.maintenance.leaked_claims import LeakedClaims
from taskscheduler_daemon.node.maintenance.log_sweeper import LogSweeper
from taskscheduler_daemon.node.maintenance.maintainer import Maintainer
from taskscheduler_daemon.node.maintenance.metrics_writer import MetricsWriter
from taskscheduler_daemon.node.maintenance.outbox_relay import OutboxRelay
from taskscheduler_daemon.node.maintenance.pause_keeper import PauseKeeper
from taskscheduler_daemon.node.maintenance.place_check import PlaceCheck
from taskscheduler_daemon.node.maintenance.planner import Planner
from taskscheduler_daemon.node.maintenance.program_sweeper import ProgramSweeper
from taskscheduler_daemon.node.maintenance.promoter import Promoter
from taskscheduler_daemon.node.maintenance.reconciler import Reconciler
from taskscheduler_daemon.node.maintenance.rescan import Rescan
from taskscheduler_daemon.node.maintenance.rescuer import Rescuer
from taskscheduler_daemon.node.maintenance.schema_keeper import SchemaKeeper
from taskscheduler_daemon.node.maintenance.unknown_sweeper import UnknownSweeper
from taskscheduler_daemon.node.options import NodeOptions
from taskscheduler_daemon.node.output.book import LogBook
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.controls import ControlView
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.in_flight import InFlight
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.node.state.meter import Meter
from taskscheduler_daemon.node.state.totals import Totals
from taskscheduler_daemon.node.status import NodeStatus
from taskscheduler_daemon.node.wakeups import DueWork, WakeupListener
from taskscheduler_daemon.system.threads import SessionThreads


class SessionParts:
    """Builds the parts of a session, under a new identity and a new lease. Starts none of them."""

    def __init__(
        self,
        store: Store,
        options: NodeOptions,
        manager: ManagerProxy,
        manager_pid: int,
        clock: Clock,
        threads: SessionThreads,
        totals: Totals | None = None,
    ) -> None:
        self._store = store
        self._options = options
        self._manager = manager
        self._clock = clock
        self._threads = threads
        self.node = NodeIdentity(ObjectId(), options.name)
        self.lease = Lease(float(options.orphaned_timeout or store.options.orphaned_timeout), clock)
        self.in_flight = InFlight()
        self.capacity = Capacity(self.in_flight, self.lease, options.max_jobs, options.unknown_timeout)
        self.watchdog = ManagerWatchdog(manager_pid, self.lease.duration, clock)
        self._search = Search(options.queues, clock)
        self._successors = Successors(store, self._search, self.in_flight)
        self._meter = Meter(store.clock, totals)
        self.metrics_writer = MetricsWriter(store, self.node, self._meter, self.lease)
        self._compose_completion()
        self._compose_dispatch()
        self._compose_claiming()
        self._compose_maintenance()

    def _compose_completion(self) -> None:
        self.log = JobLog(self._clock)
        self.logs = LogBook(self._store, self.in_flight, self._clock, self._threads)
        self.hooks = HookCalls(self._store, self._manager, self.node.boot)
        self.locks = ExclusiveLocks(self._store, self.lease)
        self.completer = Completer(
            store=self._store,
            options=self._options,
            aftermath=Aftermath(
                store=self._store,
                node=self._options.name,
                hooks=self.hooks,
                flow_node=self._successors,
                in_flight=self.in_flight,
                meter=self._meter,
            ),
            locks=self.locks,
            logs=Logs(self.log, self.logs),
            clock=self._clock,
            threads=self._threads,
        )

    def _compose_dispatch(self) -> None:
        self.dispatcher = Dispatcher(
            store=self._store,
            in_flight=self.in_flight,
            locks=self.locks,
            manager=self._manager,
            completer=self.completer,
            log=self.log,
            clock=self._clock,
        )
        self.reports = ReportHandler(
            in_flight=self.in_flight,
            capacity=self.capacity,
            completer=self.completer,
            hooks=self.hooks,
            locks=self.locks,
            manager=self._manager,
            clock=self._clock,
        )
        self.stacks = StackQuestions(self._store, self.node, self.in_flight, self._manager, self._threads)
        self.family_signs = FamilySigns(self._store, self.in_flight, self._manager, self._clock, self._threads)
        self.status = NodeStatus(
            options=self._options,
            in_flight=self.in_flight,
            capacity=self.capacity,
            lease=self.lease,
            ended_as=self.reports.ended_as,
            clock=self._clock,
        )

    def _compose_claiming(self) -> None:
        self._controls = ControlView(self._store)
        self._wake = threading.Event()
        self._gatekeeper = Gatekeeper(self._store, self._search, self.locks, self._clock, self.lease, self._wake)
        self._pipeline = ClaimPipeline(
            store=self._store,
            node=self.node,
            capacity=self.capacity,
            dispatcher=self.dispatcher,
            rates=RateCheck(self._store, self._controls, self._gatekeeper),
            clock=self._clock,
        )
        self.claimer = Claimer(
            finder=JobFinder(
                store=self._store,
                served=self._options.queues,
                unknown=self.capacity.unknown,
                view=self._controls,
                turns=TurnTaker(self._store, self._clock),
                successors=self._successors,
                clock=self._clock,
            ),
            capacity=self.capacity,
            pipeline=self._pipeline,
            search=self._search,
            partition=Partition(self.node.boot, self.lease.duration),
            clock=self._clock,
            threads=self._threads,
        )

    def _compose_maintenance(self) -> None:
        wake = self._wake
        self._promoter = Promoter(
            store=self._store,
            claimer=self.claimer,
            search=self._search,
            wake=wake,
            clock=self._clock,
            lease=self.lease,
        )
        self._planner = Planner(store=self._store, search=self._search, wake=wake, clock=self._clock, lease=self.lease)
        reconciler = Reconciler(
            store=self._store,
            in_flight=self.in_flight,
            dispatcher=self.dispatcher,
            watchdog=self.watchdog,
            search=self._search,
            lease=self.lease,
            clock=self._clock,
        )
        self.maintainer = Maintainer(
            schema=SchemaKeeper(self._store, self.lease),
            duties=[*self._sweeps(), self._rescuer(), reconciler, self._planner, self._promoter],
            wake=wake,
            clock=self._clock,
            threads=self._threads,
        )
        self.control_watch = ControlWatch(
            view=self._controls,
            claimer=self.claimer,
            gatekeeper=self._gatekeeper,
            search=self._search,
            stacks=self.stacks,
            threads=self._threads,
        )
        self.wakeups = WakeupListener(
            store=self._store,
            search=self._search,
            claimer=self.claimer,
            due=DueWork(self._promoter, self._planner, self._gatekeeper, self.control_watch),
            dispatcher=self.dispatcher,
            threads=self._threads,
        )

    def _sweeps(self) -> list[Duty]:
        leaked_claims = LeakedClaims(
            store=self._store,
            node=self.node,
            in_flight=self.in_flight,
            locks=self.locks,
            pipeline=self._pipeline,
            completer=self.completer,
            lease=self.lease,
        )
        return [
            Declarer(self._store, self.node, self._options, self.lease),
            Rescan(self.claimer, self.lease),
            self._gatekeeper,
            ProgramSweeper(self._store, self.lease),
            UnknownSweeper(self._store, self._options.unknown_timeout, self.lease),
            LateSweeper(self._store, self._clock, self.lease),
            LogSweeper(self._store, self.lease),
            OutboxRelay(self._store, self.hooks, self.lease, self._clock),
            FlowSweeper(self._store, self.lease),
            PlaceCheck(self._store, self.lease),
            PauseKeeper(self._store, self._controls, self._clock, self.lease),
            leaked_claims,
            self.metrics_writer,
        ]

    def _rescuer(self) -> Rescuer:
        return Rescuer(
            store=self._store,
            node=self.node,
            claimer=self.claimer,
            meter=self._meter,
            lease=self.lease,
            max_lost=self._options.max_lost,
            clock=self._clock,
        )
