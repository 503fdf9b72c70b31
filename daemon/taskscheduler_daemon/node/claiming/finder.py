"""JobFinder: finds the waiting jobs that this node may claim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any, NamedTuple

from taskscheduler.clock import Clock
from taskscheduler.model.control.controls import Controls
from taskscheduler.model.document import Document
from taskscheduler.operations.control.obeying import but_paused, is_all_paused, scope_under
from taskscheduler.operations.control.turn_taking import TurnTaker, merged
from taskscheduler.store import Store
from taskscheduler.store.claims import Cursor, Scope
from taskscheduler_daemon.node.claiming.successors import Successors
from taskscheduler_daemon.node.state.controls import ControlView
from taskscheduler_daemon.node.state.unknown_jobs import UnknownJobs

_AHEAD = 1000  #: waiting jobs that are looked at when paused ones are found among the next, so that all are parked soon

_MOST_ROUNDS = 100  #: in which these are parked before anything else is looked for


class Found(NamedTuple):
    """The ids of jobs to claim, and how many jobs there were with those that are paused."""

    ids: list[Any]
    looked_at: int


class JobFinder:
    """Finds waiting jobs of the queues that this node serves, of classes that it knows, and that are not paused.

    Parks those that it finds whose class or tag is paused.
    """

    def __init__(
        self,
        store: Store,
        served: Sequence[str],
        unknown: UnknownJobs,
        view: ControlView,
        turns: TurnTaker,
        successors: Successors,
        clock: Clock,
    ) -> None:
        """`served` are the queues of this node; none: all."""
        self._store = store
        self.turns = turns
        self.successors = successors
        self._served = list(served) or None
        self._unknown = unknown
        self._view = view
        self._clock = clock

    @property
    def serves_all(self) -> bool:
        """Whether this node serves all queues, whatever they are called."""
        return self._served is None

    @property
    def is_paused(self) -> bool:
        """Whether nothing may be started at all."""
        return is_all_paused(self._controls())

    def scope(self) -> Scope:
        """Returns which jobs may be claimed now."""
        unknown = self._unknown.names(self._clock.monotonic()) if self._unknown.until else ()
        return scope_under(self._controls(), self._served, unknown)

    def _controls(self) -> Controls:
        controls = self._view.controls
        return controls.at(self._store.clock.now()) if controls.pauses else controls

    def queues(self) -> list[str]:
        """Returns the queues that have waiting jobs."""
        return self._store.claims.queues()

    def nodes(self) -> list[Document]:
        """Returns the registered nodes, which search among the same jobs."""
        return self._store.nodes.all()

    def candidates(
        self,
        queues: Sequence[str],
        count: int,
        after: Cursor | None,
        but_async: bool,
        but_forced: bool,
        tells_batches: bool = False,
    ) -> list[Document]:
        """Returns the next jobs of these queues in claim order; see `ClaimStore.candidates`. Some may be paused."""
        scope = self.scope().of(queues)
        if tells_batches:
            scope = replace(scope, tells_batches=True)
        return self._store.claims.candidates(scope, count, after, but_async, but_forced)

    def free(self, jobs: list[Document]) -> list[Document]:
        """Returns those of these jobs that are not paused; parks the others, and those that wait close behind them."""
        controls = self._controls()
        left = but_paused(self._store, controls, jobs) if controls.pauses else jobs
        if len(left) < len(jobs):
            queues = sorted({job["queue"] for job in jobs})
            but_paused(self._store, controls, self._store.claims.candidates(self.scope().of(queues), _AHEAD))
        return left

    def group_queues(self) -> set[str]:
        """Returns the queues in which jobs wait for the turn of their group."""
        return self.turns.look(self.scope())

    def with_groups(self, waiting: list[Document], count: int, spare: int, but_async: bool) -> list[Document]:
        """Returns these jobs together with those of groups whose turn is next; see `TurnTaker.find`."""
        return merged(waiting, self.turns.find(self.scope(), count, spare, but_async))

    def take_turns(self, jobs: Sequence[Document], ids: Sequence[Any]) -> list[Any]:
        """Takes the turns of those of these jobs that shall be claimed; returns the ids of those that may be."""
        chosen = set(ids)
        in_turn = [job for job in jobs if "blocked" in job and job["_id"] in chosen]
        refused = {job["_id"] for job in in_turn} - self.turns.take(in_turn)
        return [job_id for job_id in ids if job_id not in refused]

    def async_in_turn(self, count: int) -> list[Any]:
        """Takes the turns of async jobs that are among the next so many of groups; returns the ids to claim."""
        scope = self.scope()
        jobs = self.turns.find(scope, count) if self.turns.look(scope) else []
        taken = self.turns.take([job for job in jobs if "async" in job])
        return [job["_id"] for job in jobs if job["_id"] in taken]

    def forced(self, count: int) -> Found:
        """Finds jobs of the option force_spawn, which need no slot to start."""
        return self._found(self._store.claims.forced, count)

    def asynchronous(self, count: int) -> Found:
        """Finds the next async jobs."""
        return self._found(self._store.claims.asynchronous, count)

    def asynchronous_in_turn(self, count: int) -> Found:
        """Finds the async jobs that wait before every other job."""
        scope = self.scope()
        jobs = self._store.claims.next_kinds(scope if scope.queues is not None else scope.of(self.queues()), count)
        free = self._but_paused(jobs)
        ids = [job["_id"] for job in takewhile(lambda job: "async" in job, free)]
        return Found(ids, len(ids) + len(jobs) - len(free))

    def overdue(self, names: Sequence[str], seconds: float, count: int) -> list[Document]:
        """Returns the jobs of these classes that fell due so many seconds ago."""
        self._store.group_lists.give_up(names, seconds)  # nobody takes a turn for them
        return self._but_paused(self._store.claims.overdue(self.scope(), names, seconds, count))

    def _found(self, find: Callable[[Scope, int], list[Document]], count: int) -> Found:
        """Finds jobs to claim, behind any number of paused ones."""
        jobs = find(self.scope(), count)
        free = self._but_paused(jobs)
        for _ in range(_MOST_ROUNDS):
            if free or len(jobs) < count:
                break
            self._but_paused(find(self.scope(), _AHEAD))
            jobs = find(self.scope(), count)
            free = self._but_paused(jobs)
        return Found([job["_id"] for job in free], len(jobs))

    def _but_paused(self, jobs: list[Document]) -> list[Document]:
        controls = self._controls()
        return but_paused(self._store, controls, jobs) if controls.pauses else jobs
