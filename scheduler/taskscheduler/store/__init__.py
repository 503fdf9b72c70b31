"""Speaks to MongoDB; besides `embedded.replica_set` no other module does. One method is one operation."""

from __future__ import annotations

from pymongo.database import Database
from pymongo.errors import PyMongoError

from taskscheduler.clock import Backoff, Clock, Deadline
from taskscheduler.model.document import Document
from taskscheduler.model.options import FLOWS, SchedulerOptions
from taskscheduler.store.attempts.logs import LogStore
from taskscheduler.store.audit.log import AuditStore
from taskscheduler.store.claims import ClaimStore
from taskscheduler.store.client import StreamDatabase, check_server, durable
from taskscheduler.store.completions import CompletionStore
from taskscheduler.store.control.admission import Admission
from taskscheduler.store.control.blocked_jobs import BlockedJobs
from taskscheduler.store.control.group_lists import GroupLists
from taskscheduler.store.control.places import PlaceStore
from taskscheduler.store.control.questions import QuestionStore
from taskscheduler.store.control.queue_place import QueuePlaces
from taskscheduler.store.control.rates import RateStore
from taskscheduler.store.control.room import RoomStore
from taskscheduler.store.control.sequences import SequenceStore
from taskscheduler.store.control.settings import ControlStore
from taskscheduler.store.control.sweeps import AdmissionSweeps
from taskscheduler.store.control.windows import DebouncedJobs, WindowStore
from taskscheduler.store.driver_errors import is_between_roles, translated
from taskscheduler.store.event_log import EventLog
from taskscheduler.store.families import FamilyStore
from taskscheduler.store.flows.effects import FlowEffects
from taskscheduler.store.flows.flow_store import FlowStore
from taskscheduler.store.flows.joins import Joins
from taskscheduler.store.flows.results import FlowResults
from taskscheduler.store.job_inserts import JobInserts
from taskscheduler.store.jobs import InvalidJobs, JobStore, QueuedJobs
from taskscheduler.store.leases import LeaseStore
from taskscheduler.store.metrics.history import MetricsStore
from taskscheduler.store.nodes import NodeStore
from taskscheduler.store.on_demand.making import OnDemandIndexes
from taskscheduler.store.outbox import Outbox
from taskscheduler.store.overview import ClusterOverview
from taskscheduler.store.postponed_jobs import LateJobs, PostponedJobs
from taskscheduler.store.programs import ProgramStore
from taskscheduler.store.resumable.steps import SignalStore, StepStore
from taskscheduler.store.schedules import ScheduleStore
from taskscheduler.store.schema import Found, ensure
from taskscheduler.store.selections.bulk import BulkChanges
from taskscheduler.store.selections.search import JobSearch
from taskscheduler.store.services import ServiceMessageStore, ServiceStore
from taskscheduler.store.transactions.commits import CommitStore
from taskscheduler.store.transactions.sessions import Deployment
from taskscheduler.store.wakeups import WakeupQueue
from taskscheduler.store.web.keyed_requests import KeyedRequests

_ELECTED_WITHIN = 30.0  #: seconds for which a store is opened again and again while a primary is elected

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  #: seconds in between


class Store:
    """All parts of the store on one database. Each process opens its own."""

    def __init__(
        self, database: Database[Document], streams: StreamDatabase, options: SchedulerOptions, clock: Clock
    ) -> None:
        self.database = durable(database)
        self.streams = streams
        self.options = options
        self.clock = check_server(self.database, clock)
        with translated():
            found = self._ensured(options, clock)
        self.on_demand = OnDemandIndexes(self.database, options, clock)
        self.on_demand.learn(found.on_demand)
        self._compose_jobs(options, clock)
        self._compose_cluster(options, clock)
        self._compose_admission(options, clock)
        self._compose_effects(options, FLOWS in found.collections)

    def _ensured(self, options: SchedulerOptions, clock: Clock) -> Found:
        """Returns what is there, also if an election is under way: a node that starts now is not to end for that."""
        deadline, backoff = Deadline(_ELECTED_WITHIN, clock), Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            try:
                return ensure(self.database, options)
            except PyMongoError as error:
                if not is_between_roles(error) or deadline.passed:
                    raise
            deadline.pause(backoff.next())

    def _compose_jobs(self, options: SchedulerOptions, clock: Clock) -> None:
        self.claims = ClaimStore(self.database, options, self.on_demand)
        self.leases = LeaseStore(self.database, options)
        self.completions = CompletionStore(self.database, options, self.clock)
        self.postponed_jobs = PostponedJobs(self.database, options)
        self.late_jobs = LateJobs(self.database, options, self.on_demand)
        self.jobs = JobStore(self.database, options, self.clock, self.on_demand)
        self.queued_jobs = QueuedJobs(self.database, options, self.on_demand)
        self.search = JobSearch(self.database, options, self.on_demand)
        self.bulk = BulkChanges(self.database, options, self.on_demand)
        self.invalid_jobs = InvalidJobs(self.database, options)
        self.inserts = JobInserts(self.database, options, clock, self.on_demand)
        self.families = FamilyStore(self.database, options, self.on_demand)
        self.steps = StepStore(self.database, options, self.clock)
        self.signals = SignalStore(self.database, options, self.clock)
        self.commits = CommitStore(self.database, options)
        self.logs = LogStore(self.database, options)

    def _compose_cluster(self, options: SchedulerOptions, clock: Clock) -> None:
        self.wakeups = WakeupQueue(self.database, options, clock)
        self.events = EventLog(self.database, options)
        self.nodes = NodeStore(self.database)
        self.services = ServiceStore(self.database, options, self.on_demand)
        self.service_messages = ServiceMessageStore(self.database, self.clock)
        self.schedules = ScheduleStore(self.database)
        self.controls = ControlStore(self.database, clock)
        self.questions = QuestionStore(self.database, self.clock)
        self.windows = WindowStore(self.database)
        self.metrics = MetricsStore(self.database)
        self.overview = ClusterOverview(self.database, options, self.clock)
        self.audit = AuditStore(self.database)
        self.requests = KeyedRequests(self.database, self.clock)
        self.deployment = Deployment(self.database)

    def _compose_admission(self, options: SchedulerOptions, clock: Clock) -> None:
        self.blocked_jobs = BlockedJobs(self.database, options)
        self.queue_places = QueuePlaces(self.database, options)
        self.places = PlaceStore(self.jobs.collection, self.nodes)
        self.rates = RateStore(self.database)
        self.sequences = SequenceStore(self.database, options)
        self.debounced_jobs = DebouncedJobs(self.database, options, self.on_demand)
        self.rooms = RoomStore(self.controls, self.clock, self.nodes, self.places, self.sequences, self.rates)
        self.admission = Admission(
            self.jobs.collection, self.invalid_jobs, self.places, self.rooms, self.wakeups, clock
        )
        self.sweeps = AdmissionSweeps(self.jobs.collection, self.invalid_jobs, self.rooms, self.admission)
        self.group_lists = GroupLists(self.jobs.collection)

    def _compose_effects(self, options: SchedulerOptions, in_use: bool) -> None:
        self.flows = FlowStore(self.database, options, in_use)
        self.flow_effects = FlowEffects(
            flows=self.flows,
            joins=Joins(self.jobs.collection, self.clock, float(options.orphaned_timeout)),
            results=FlowResults(self.database, options),
            invalid=self.invalid_jobs,
            admission=self.admission,
            wakeups=self.wakeups,
            events=self.events,
        )
        self.outbox = Outbox(
            jobs=self.jobs,
            families=self.families,
            invalid=self.invalid_jobs,
            wakeups=self.wakeups,
            events=self.events,
            admission=self.admission,
            flow_effects=self.flow_effects,
        )
        self.programs = ProgramStore(
            collection=self.jobs.collection,
            invalid=self.invalid_jobs,
            places=self.places,
            admission=self.admission,
            outbox=self.outbox,
            events=self.events,
            on_demand=self.on_demand,
        )

    @property
    def place(self) -> str:
        """The database and the servers that are known to have it, for people."""
        servers = ", ".join(sorted(f"{host}:{port}" for host, port in self.database.client.nodes))
        return f"{self.database.name} at {servers}" if servers else self.database.name

    def drop(self) -> None:
        """Deletes the whole database; for tests that have one of their own."""
        self.database.client.drop_database(self.database.name)

    def close(self) -> None:
        """Sends the messages that still wait. The owner of the client closes that."""
        self.wakeups.close()
