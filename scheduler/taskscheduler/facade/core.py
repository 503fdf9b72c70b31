"""The parts that a Scheduler and an AsyncScheduler are both made of."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

from blinker import Namespace

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler.connection import Connection, Source
from taskscheduler.events import Announcer, Events
from taskscheduler.flow_state import RunningFlows
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.operations.add import JobAdder
from taskscheduler.operations.audit.trail import AuditTrail
from taskscheduler.operations.cancel import JobCanceller
from taskscheduler.operations.flows.add import FlowAdder
from taskscheduler.operations.flows.extend import FlowExtender
from taskscheduler.operations.schedules import ScheduleControl
from taskscheduler.operations.service_messages import ServiceMessages
from taskscheduler.operations.services import ServiceControl
from taskscheduler.operations.transactions.in_session import InSession
from taskscheduler.process import JobAccess, Processes
from taskscheduler.store import Store
from taskscheduler.store.change_feed import Token
from taskscheduler.validation import check_token, named
from taskscheduler.waiting.completion_watcher import CompletionWatcher
from taskscheduler.waiting.flow_follower import FlowFollower
from taskscheduler.waiting.listener import Listener, SharedStreams
from taskscheduler.waiting.own_streams import OwnStreams
from taskscheduler.waiting.shared_stream import SharedStream

LOGGER = logging.getLogger("taskscheduler")


class Foundation(NamedTuple):
    """The database and options, the handlers and the clock that a scheduler was given."""

    connection: Connection
    events: Events
    clock: Clock

    @classmethod
    def of(
        cls,
        database: Source | None,
        logger: logging.Logger | None,
        emitter: Namespace | None,
        options: Mapping[str, Any],
        clock: Clock,
    ) -> Foundation:
        """Checks the arguments; connects to nothing yet. InvalidOptionError."""
        events = Events(emitter, logger or LOGGER)
        return cls(Connection(database, SchedulerOptions.of(options), clock), events, clock)

    @classmethod
    def on(cls, connection: Connection) -> Foundation:
        """Returns a foundation on an open connection, with handlers of its own."""
        return cls(connection, Events(None, LOGGER), SYSTEM_CLOCK)


class Core:
    """Builds the parts of one scheduler, and gives each the parts that it uses."""

    def __init__(self, foundation: Foundation, jobs: JobAccess) -> None:
        self.connection, self.events, self.clock = foundation
        self.processes = Processes(jobs)
        self.announcer = Announcer(self.events, self.processes)
        self.audit_trail = AuditTrail(self.connection, self.clock)
        self.canceller = JobCanceller(self.connection, self.announcer)
        self.adder = JobAdder(self.connection, self.canceller, self.clock)
        self.flows = FlowAdder(self.connection, self.adder)
        self.flow_extender = FlowExtender(self.connection, self.adder)
        self.services = ServiceControl(self.connection, self.adder, self.canceller, self.clock)
        self.schedules = ScheduleControl(self.connection, self.adder, self.clock)
        self.in_session = InSession(self.connection, self.adder, self.schedules)
        self.service_messages = ServiceMessages(self.connection)
        self.shared_stream = SharedStream(self.connection)
        self.waits = OwnStreams()
        self.running_flows = RunningFlows()
        self.flow_follower = FlowFollower(self.connection, self.announcer, self.running_flows, self.clock)
        self.completions = CompletionWatcher(self.connection, self.announcer, self.clock)

    @property
    def store(self) -> Store:
        return self.connection.store

    def listener(self, query: Mapping[str, Any] | None, after: Token | None) -> Listener:
        """Returns a listener for the jobs that match, not open yet. InvalidOptionError."""
        check_token(after)
        asked = {} if query is None else named(query)
        shared = SharedStreams(self.shared_stream, self.flow_follower)
        return Listener(self.processes, self.store, asked, after, self.announcer.wants_progress, shared)

    def stop_streams(self) -> None:
        """Ends the streams that many share; those who follow them get an error."""
        try:
            self.completions.stop()
            self.flow_follower.stop()
        finally:
            self.shared_stream.stop()

    def close(self) -> None:
        """Stops the listeners in the background and all who wait, and closes the connection."""
        with ExitStack() as steps:  # the last one first, and each also if one before it has raised
            steps.callback(self.connection.close)
            steps.callback(self.stop_streams)
            steps.callback(self.announcer.stop_listeners)
