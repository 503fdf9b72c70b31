"""Speaks to MongoDB; besides `embedded.replica_set` no other module does. One method is one operation."""

from __future__ import annotations

from pymongo.database import Database

from taskscheduler.clock import Clock
from taskscheduler.model.document import Document
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store.claims import ClaimStore
from taskscheduler.store.client import check_server, durable
from taskscheduler.store.completions import CompletionStore
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.event_log import EventLog
from taskscheduler.store.families import FamilyStore
from taskscheduler.store.job_inserts import JobInserts
from taskscheduler.store.jobs import InvalidJobs, JobStore
from taskscheduler.store.leases import LeaseStore
from taskscheduler.store.nodes import NodeStore
from taskscheduler.store.outbox import Outbox
from taskscheduler.store.postponed_jobs import PostponedJobs
from taskscheduler.store.programs import ProgramStore
from taskscheduler.store.schema import ensure
from taskscheduler.store.service_messages import ServiceMessageStore
from taskscheduler.store.services import ServiceStore
from taskscheduler.store.solo_locks import SoloLocks
from taskscheduler.store.wakeups import WakeupQueue


class Store:
    """All parts of the store on one database. Each process opens its own."""

    def __init__(self, database: Database[Document], options: SchedulerOptions, clock: Clock) -> None:
        self.database = durable(database)
        self.options = options
        self.clock = check_server(self.database, clock)
        with translated():
            ensure(self.database, options)
        self.claims = ClaimStore(self.database, options)
        self.leases = LeaseStore(self.database, options)
        self.completions = CompletionStore(self.database, options)
        self.postponed_jobs = PostponedJobs(self.database, options)
        self.jobs = JobStore(self.database, options, self.clock)
        self.invalid_jobs = InvalidJobs(self.database, options)
        self.inserts = JobInserts(self.database, options, clock)
        self.families = FamilyStore(self.database, options)
        self.wakeups = WakeupQueue(self.database, options, clock)
        self.events = EventLog(self.database, options)
        self.nodes = NodeStore(self.database)
        self.services = ServiceStore(self.database, options)
        self.service_messages = ServiceMessageStore(self.database, self.clock)
        self.solo_locks = SoloLocks(self.jobs.collection, self.nodes, self.wakeups)
        self.outbox = Outbox(
            jobs=self.jobs,
            families=self.families,
            invalid=self.invalid_jobs,
            wakeups=self.wakeups,
            events=self.events,
            locks=self.solo_locks,
        )
        self.programs = ProgramStore(
            collection=self.jobs.collection,
            invalid=self.invalid_jobs,
            locks=self.solo_locks,
            outbox=self.outbox,
            events=self.events,
        )

    def drop(self) -> None:
        """Deletes the whole database; for tests that have one of their own."""
        self.database.client.drop_database(self.database.name)

    def close(self) -> None:
        """Sends the messages that still wait. The owner of the client closes that."""
        self.wakeups.close()
