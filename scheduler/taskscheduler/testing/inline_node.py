"""InlineNode: a node that runs jobs when a test calls it, in the thread of the test."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from time import process_time
from types import TracebackType
from typing import Any

from bson import ObjectId

from taskscheduler.clock import SYSTEM_CLOCK, Clock
from taskscheduler.declarations.registry import REGISTRY
from taskscheduler.errors import InvalidOptionError, SchedulerError
from taskscheduler.jobs.async_executor import execute_async
from taskscheduler.jobs.batches import BatchRun
from taskscheduler.jobs.default import lent
from taskscheduler.jobs.executor import Container, execute
from taskscheduler.jobs.inline_log import InlineLog
from taskscheduler.jobs.inline_runtime import Held, InlineHooks, InlineRuntime, in_a_loop
from taskscheduler.jobs.output import Recording
from taskscheduler.model import lenient
from taskscheduler.model.attempt_result import AttemptResult
from taskscheduler.model.attempts.cost import Cost
from taskscheduler.model.batches.options import batch_of
from taskscheduler.model.checks import integer, names, queue_name
from taskscheduler.model.control.controls import Controls
from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler.model.readable import Fault, fault_of_claimed, fault_of_unclaimable, fault_of_waiting
from taskscheduler.operations.control.obeying import but_paused, end_over, is_all_paused, scope_under, unpark_resumed
from taskscheduler.operations.control.turn_taking import TurnTaker, merged
from taskscheduler.operations.finish import AttemptEnd, completion_of, follow_up
from taskscheduler.operations.flows.sweep import sweep_flows
from taskscheduler.operations.late import end_late_jobs, release_late
from taskscheduler.operations.schedule_runs import add_due_runs
from taskscheduler.operations.set_aside import set_aside
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.claims import WAITING_OR_IN_TURN, Scope
from taskscheduler.store.driver_errors import StoreError, is_rejection, is_transient, translated
from taskscheduler.store.fence import Fence
from taskscheduler.store.outbox import ALL_EFFECTS
from taskscheduler.testing.passing_time import PassingTime

logger = logging.getLogger(__name__)

_MAX_LOST = 3  #: no attempt is lost here

_WAITING = {"status": int(Status.WAITING)}

_ROUND = 10_000  #: jobs that run in one round at most


class InlineNode:
    """A node that runs jobs when you call it, in your thread.

    It serves the given queues, or all; `container` makes the instances of jobs, as for a worker.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        queues: Sequence[str] = (),
        container: Container | None = None,
        name: str = "inline",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not isinstance(scheduler, Scheduler):
            raise InvalidOptionError(f"an InlineNode needs a Scheduler, not {type(scheduler).__name__}")
        self._scheduler = scheduler
        self._queues = list(names(queue_name)("queues", queues))
        self._container = container
        self._name = name
        self._clock = clock
        self._boot = ObjectId()
        self._time = PassingTime(scheduler)
        self._worker = ObjectId()
        self._hooks = InlineHooks(scheduler, container)
        self._turns = TurnTaker(scheduler.store, clock)

    def __enter__(self) -> InlineNode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes nothing: the scheduler belongs to its owner."""

    def run_due(self) -> list[Process]:
        """Runs each job that is due now once, by priority and age; returns the jobs that ran, as they are now.

        Jobs that are added or become due meanwhile wait for the next call.
        """
        with translated():
            left, ran = dict.fromkeys(self._due()), list[Process]()
            while left:
                ran += self._run(_first(left), left)
            return ran

    def run_until_idle(self, most: int = 1000) -> list[Process]:
        """Runs jobs until none is due. SchedulerError if that takes more than `most` attempts: an interval of -1?"""
        integer("most", most, least=1)
        ran: list[Process] = []
        while batch := self.run_due():
            ran += batch
            if len(ran) > most:
                raise SchedulerError(f"jobs are still due after {len(ran)} attempts; do they go on for ever?")
        return ran

    def advance(self, seconds: float | timedelta) -> None:
        """Lets time pass: the jobs that are queued now are due so much earlier, and schedules add their runs.

        Rates have room again, and pauses end. The clock of the server stays as it is; jobs that you add later count
        from it.
        """
        with translated():
            self._settle()
            self._time.advance(seconds)

    def _due(self) -> list[ObjectId]:
        store = self._scheduler.store
        self._settle()
        add_due_runs(store, self._time.passed)
        while end_late_jobs(store):
            self._settle()
        while due := store.postponed_jobs.find():
            store.postponed_jobs.promote(due)
            store.admission.admit_next(store.admission.park(due))
        store.sweeps.sweep()
        sweep_flows(store)
        controls = self._controls()
        if is_all_paused(controls):
            return []
        scope = scope_under(controls, self._queues or store.claims.queues())
        found = but_paused(store, controls, store.claims.candidates(scope, _ROUND)) if scope.queues else []
        waiting = [job for job in found if not self._set_aside(job, fault_of_waiting(job), _WAITING)]
        return self._with_groups(waiting, scope_under(controls, self._queues or None))

    def _with_groups(self, waiting: list[Document], scope: Scope) -> list[ObjectId]:
        """Returns the ids of these jobs and of those of groups, in the order in which a node starts them."""
        if not self._turns.look(scope):
            return [job["_id"] for job in waiting]
        jobs = self._turns.find(scope, _ROUND)
        free = self._turns.take(jobs)
        return [job["_id"] for job in merged(waiting, jobs) if "group" not in job or job["_id"] in free]

    def _controls(self) -> Controls:
        """Returns what people have set, after seeing to what holds no more."""
        store = self._scheduler.store
        for _ in unpark_resumed(store):
            pass
        controls = store.controls.load()
        end_over(store, controls)
        return controls.at(store.clock.now())

    def _set_aside(self, job: Mapping[str, Any], fault: Fault | None, held: Mapping[str, Any]) -> bool:
        """Fails a job whose document cannot be used, as a node does; returns whether it has a fault."""
        if fault is not None:
            set_aside(self._scheduler.store, job["_id"], fault, held)
        return fault is not None

    def _run(self, job_id: ObjectId, left: dict[ObjectId, None]) -> list[Process]:
        """Runs one attempt, or a batch of it and some that are `left`; none if it cannot be claimed any more."""
        first = self._claim(job_id)
        held = [] if first is None else [first, *self._companions(first.document, left)]
        if not held:
            return []
        store = self._scheduler.store
        began, spent = self._clock.monotonic(), process_time()
        log = InlineLog(held, self._clock)
        with Recording(log), lent(self._scheduler):
            results = self._execute(held, InlineRuntime(self._scheduler, held, held[0].document, str(self._worker)))
        log.store(store.logs)
        lasted, ended = self._clock.monotonic() - began, store.clock.now().timestamp()
        ends = [self._end(*one, result, lasted, ended) for one, result in zip(held, results, strict=True)]
        cost = Cost(process_time() - spent).share(len(held))
        for end in ends:
            end.cost = cost
        if batch_of(held[0].document) is not None:
            for end in ends:
                end.batched = len(held)
        known = store.completions.write(ends) == len(ends)
        written = ends if known else [one for one in ends if one.fence.job_id in store.completions.confirmed(ends)]
        follow_up(store, written, self._name, self._hooks)  # the others were cancelled or deleted
        self._settle()
        if any(result.content.get("error", {}).get("type") == "KeyboardInterrupt" for result in results):
            raise KeyboardInterrupt  # from the person at the terminal
        return [Process(self._scheduler, store.jobs.get(fence.job_id) or document) for fence, document in held]

    def _end(self, fence: Fence, document: Document, result: AttemptResult, lasted: float, ended: float) -> Completion:
        return completion_of(fence, document, AttemptEnd(*result, str(self._worker), lasted, ended=ended), _MAX_LOST)

    def _companions(self, document: Document, left: dict[ObjectId, None]) -> list[Held]:
        """Claims the other jobs of a batch, if this one runs in batches."""
        batch = batch_of(document)
        if batch is None or batch.size == 1 or not left:
            return []
        controls = self._controls()
        scope = scope_under(controls, self._queues or None)
        place, store = (document["class"], document["queue"]), self._scheduler.store
        jobs = but_paused(store, controls, store.claims.companions(scope, *place, _ROUND))
        found: list[Held] = []
        for job in jobs:
            if job["_id"] not in left or len(found) == batch.size - 1:
                continue
            del left[job["_id"]]
            one = self._claim(job["_id"])
            found += [] if one is None else [one]
        return found

    def _claim(self, job_id: ObjectId) -> Held | None:
        """Claims a job and reads it; None if it cannot be claimed any more, or must not run."""
        store, claim = self._scheduler.store, uuid.uuid4().hex
        controls = store.controls.load().at(store.clock.now())  # a job may have paused those behind it
        if is_all_paused(controls):
            return None
        scope = scope_under(controls, self._queues or None)
        try:
            taken = store.claims.claim_one(job_id, scope, claim, self._boot, self._name, WAITING_OR_IN_TURN)
        except StoreError as error:
            if is_transient(error) or not is_rejection(error):
                raise
            job = store.jobs.get(job_id) or {"_id": job_id}
            self._set_aside(job, fault_of_unclaimable(job), _WAITING)
            return None
        document = lenient.decode(taken[0].raw) if taken else None
        if document is None or self._set_aside(document, fault_of_claimed(document), {"claim": claim}):
            return None
        fence = Fence(job_id, claim, document["attempt"])
        if release_late(store, fence, document):
            return None
        store.events.append([{"job": job_id, "status": int(Status.PROCESSING), "attempt": fence.attempt}], self._name)
        return Held(fence, document)

    def _execute(self, held: Sequence[Held], runtime: InlineRuntime) -> list[AttemptResult]:
        """Runs these attempts, more than one as a batch; returns how each of them ended."""
        limits = [limit for one in held if (limit := one.document["options"]["timeout"])]
        began, limit = self._clock.monotonic(), min(limits, default=0)
        batch = BatchRun([one.document for one in held]) if len(held) > 1 else None
        run = self._attempt(held[0].document, runtime, batch)
        outcomes = {} if batch is None else batch.outcomes(run)
        if limit and self._clock.monotonic() - began > limit:
            error = {"type": "JobTimeoutError", "message": f"ran longer than {limit:g} s"}
            run, outcomes = AttemptResult(Ending.TIMED_OUT, {"error": error}), {}
        said = {"said": runtime.said} if runtime.said else {}
        hook = {"hook": True} if REGISTRY.has_hook(held[0].document["class"]) else {}
        results = [outcomes.get(place, run) for place in range(len(held))]
        return [AttemptResult(ending, {**content, **said, **hook}) for ending, content in results]

    def _attempt(self, document: Document, runtime: InlineRuntime, batch: BatchRun | None) -> AttemptResult:
        most = self._scheduler.options.max_payload
        if not REGISTRY.is_async(document["class"]):
            return execute(document, runtime, self._container, most, batch=batch)
        return in_a_loop(runtime.with_scheduler(execute_async(document, runtime, self._container, most, batch)))

    def _settle(self) -> None:
        """Delivers the effects of ended jobs, also of cancelled ones."""
        outbox, seen = self._scheduler.store.outbox, set[ObjectId]()
        while jobs := [job for job in outbox.undelivered(list(ALL_EFFECTS), 100) if job["_id"] not in seen]:
            for job in jobs:
                seen.add(job["_id"])
                outbox.deliver(job["_id"])
                self._hooks.call(job["_id"])


def _first(left: dict[ObjectId, None]) -> ObjectId:
    """Removes and returns the first of these ids."""
    first = next(iter(left))
    del left[first]
    return first
