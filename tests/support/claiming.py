"""A claimer on a real database, without a thread and without workers: what it asks for, and what it would run."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from bson import ObjectId

from taskscheduler import Scheduler
from taskscheduler.model.lifecycle import Ending
from taskscheduler.operations.control.turn_taking import TurnTaker
from taskscheduler.operations.finish import AttemptEnd, completion_of, follow_up
from taskscheduler_daemon.node.claiming.claimer import Claimer
from taskscheduler_daemon.node.claiming.finder import JobFinder
from taskscheduler_daemon.node.claiming.partition import Partition
from taskscheduler_daemon.node.claiming.pipeline import ClaimPipeline
from taskscheduler_daemon.node.claiming.rate_check import RateCheck
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.claiming.successors import Successors
from taskscheduler_daemon.node.dispatch.dispatcher import Dispatcher
from taskscheduler_daemon.node.state.capacity import Capacity
from taskscheduler_daemon.node.state.controls import ControlView
from taskscheduler_daemon.node.state.identity import NodeIdentity
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.system.threads import SessionThreads


class SettableClock:
    """A clock that stands still until it is set."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def pause(self, seconds: float) -> None:
        self.seconds += seconds


class Bench:
    """A claimer without a thread of its own, and the attempts that were dispatched."""

    def __init__(self, scheduler: Scheduler, slots: int, queues: tuple[str, ...] = ()) -> None:
        self.clock, store, self.node = SettableClock(), scheduler.store, NodeIdentity(ObjectId(), "bench")
        self.store = store
        self.lease = Lease(30.0, self.clock)
        self.in_flight, self.search = InFlight(), Search(queues)
        self.capacity = Capacity(self.in_flight, self.lease, 0)
        self.capacity.set_slots(slots, forced=16)
        self.dispatched: list[Attempt] = []
        dispatcher = cast(Dispatcher, SimpleNamespace(dispatch=self.dispatched.extend))
        self.view = ControlView(store)
        rates = RateCheck(store, self.view, cast(Any, None))
        self.successors = Successors(store, self.search, self.in_flight)
        self.pipeline = ClaimPipeline(store, self.node, self.capacity, dispatcher, rates, self.clock)
        self.partition = Partition(self.node.boot, self.lease.duration)
        self.claimer = Claimer(
            finder=JobFinder(
                store=store,
                served=queues,
                unknown=self.capacity.unknown,
                view=self.view,
                turns=TurnTaker(store, self.clock),
                successors=self.successors,
                clock=self.clock,
            ),
            capacity=self.capacity,
            pipeline=self.pipeline,
            search=self.search,
            partition=self.partition,
            clock=self.clock,
            threads=SessionThreads(_crashed),
        )

    def look(self) -> None:
        self.claimer.look_everywhere()
        self.claimer._look()

    def take_what_is_offered(self) -> list[ObjectId]:
        """What one look dispatches that searches for nothing."""
        known = len(self.dispatched)
        self.claimer._look()
        return [one.fence.job_id for one in self.dispatched[known:]]

    def end(self, *attempts: Attempt, ending: Ending = Ending.SUCCEEDED) -> None:
        """Writes the ends of dispatched attempts, and does what follows from them as a node does."""
        error = {} if ending is Ending.SUCCEEDED else {"error": {"type": "ValueError", "message": "on purpose"}}
        ends = [completion_of(one.fence, one.job, AttemptEnd(ending, error, "worker"), 3) for one in attempts]
        for one in attempts:
            self.in_flight.pop(one.fence.job_id.binary, one.fence.attempt)
        assert self.store.completions.write(ends) == len(ends)
        follow_up(self.store, ends, "bench", cast(Any, None), self.successors)


def _crashed() -> None:
    raise AssertionError("the claimer crashed")
