"""Capacity: how many more jobs this node should claim."""

from __future__ import annotations

from taskscheduler.model.lifecycle import Ending
from taskscheduler_daemon.node.state.batching import BatchCapacity
from taskscheduler_daemon.node.state.in_flight import Attempt, InFlight
from taskscheduler_daemon.node.state.lease import Lease
from taskscheduler_daemon.node.state.max_jobs import Budget
from taskscheduler_daemon.node.state.speed import Speed
from taskscheduler_daemon.node.state.unknown_jobs import UnknownJobs
from taskscheduler_daemon.node.state.urgent_places import UrgentPlaces

_MOST_PER_CLAIM = 1000

_FORCED_PER_CLAIM = 32

#: to leave jobs to a search, which costs each of them a write, and to find them again takes as long as they would wait
_TIMES_AHEAD = 2

_UNSTARTED = Ending.UNSTARTED  # for the end of each attempt: as an attribute of its class it takes as long as a call


class AsyncCapacity:
    """Room for async jobs: many share one worker slot."""

    def __init__(self) -> None:
        self.names: set[str] = set()  #: classes that turned out to be async
        self._slots = 0
        self.each = 0  #: how many run in one worker; 0: async jobs run like others

    def set_limits(self, slots: int, each: int) -> None:
        """Sets the number of workers, and of async jobs that run at once in each."""
        self._slots, self.each = slots, each

    def takes(self, attempt: Attempt) -> bool:
        """Returns whether an attempt runs in an event loop beside others."""
        if not self.each or attempt.forced or attempt.traits.serves:
            return False
        return attempt.traits.own_async or attempt.traits.name in self.names

    def workers(self, held: int) -> int:
        """Returns how many workers so many async attempts keep busy.

        The only slot of a node counts as free, so that other jobs run there in turn.
        """
        return min(self._most, -(-held // self.each)) if held and self._slots > 1 else 0

    def left(self, held: int) -> int:
        """Returns how many more could ever run here beside so many."""
        return self._most * self.each - held

    def room(self, slotted: int, held: int) -> int:
        """Returns how many more to claim while so many other attempts take a slot each."""
        workers = min(self._most, max(0, self._slots - slotted))
        return max(0, workers * self.each - held)

    @property
    def _most(self) -> int:
        """Of two or more workers, one is left to the other jobs."""
        return max(1, self._slots - 1)


class Capacity:
    """Decides how many more jobs to claim, from the slots, the measured speed, the lease and the budget.

    Safe to use from many threads: the main loop measures, the claimer asks.
    """

    def __init__(self, in_flight: InFlight, lease: Lease, max_jobs: int, unknown_timeout: float = 0) -> None:
        """`max_jobs` is the budget: how many jobs this node may run in all; 0: no limit. See UnknownJobs."""
        self._in_flight = in_flight
        self.coming = in_flight.coming
        self._lease = lease
        self._async = AsyncCapacity()
        self.slots = 0  #: how many jobs the manager can run at once
        self._most_forced = 0
        self.most_ahead: int | None = None  #: how many jobs to claim beyond the slots at most; None: by speed alone
        self.speed = Speed()
        self.budget = Budget(max_jobs)
        self.batches = BatchCapacity(in_flight, self.budget, self.speed)
        self.urgent = UrgentPlaces(in_flight, lease, self.budget, self.speed)
        self.unknown = UnknownJobs(unknown_timeout)

    @property
    def beside_slots(self) -> dict[str, int]:
        """How many `forced` jobs run at once beyond the slots, and how many async jobs in one of these."""
        return {"forced": self._most_forced, "async_jobs": self._async.each}

    def set_slots(self, slots: int, async_jobs: int = 0, forced: int = 0) -> None:
        """Sets how many jobs the manager can run at once: in its slots, in each event loop, and `forced` ones."""
        self.slots, self._most_forced = slots, forced
        self._async.set_limits(slots, async_jobs)

    def learn_async(self, name: str) -> None:
        """Notes that the jobs of this class are async, as a worker reported."""
        self._async.names.add(name)

    def ended(self, attempt: Attempt, ending: Ending, seconds: float) -> None:
        """Learns from the end of an attempt, which ran for so many seconds.

        One that was handed back before it began costs no budget; if an ordinary one was, since nothing moves in the
        manager, nothing is claimed ahead until jobs finish again.
        """
        if ending is _UNSTARTED:
            self.budget.refund(1)
            if not attempt.is_async:
                self.speed.stalled(self.slots)
        elif not attempt.is_async:
            self.speed.learn(seconds)

    def admit(self, attempts: list[Attempt]) -> None:
        """Adds claimed attempts to those in flight and spends the budget; decides which of them run as async."""
        for attempt in attempts:
            attempt.is_async = self._async.takes(attempt)
            if attempt.gathers:
                self.batches.sort(attempt)
        self._in_flight.add(attempts)
        self.budget.spend(len(attempts))  # after that: a node without budget and attempts stops

    @property
    def has_lease(self) -> bool:
        """Whether the lease allows to claim; whatever is claimed after it would be handed back at once.

        Nothing is claimed either while a suspect runs alone.
        """
        return self._lease.is_safe and not self._in_flight.closed

    def wanted(self, asked: int, are_known: bool = False) -> int:
        """Returns how many jobs to claim now, while so many have been asked for already.

        `are_known`: no search has to find these jobs, and they may be of either kind.
        """
        if not self.has_lease or (are_known and self.async_full):
            return 0
        room = self._free(asked) if are_known else self.room(asked)
        return int(max(0, min(room, _MOST_PER_CLAIM, self.budget.left - asked)))

    def wanted_forced(self) -> int:
        """Returns how many force_spawn jobs to claim now: they take no slot, but have a limit of their own."""
        return int(max(0, min(_FORCED_PER_CLAIM, self.budget.left, self._most_forced - self._in_flight.forced_count)))

    def wanted_async(self) -> int:
        """Returns how many jobs to claim now that are known to be async."""
        if not self.has_lease:
            return 0
        return int(max(0, min(self.async_room(), _MOST_PER_CLAIM, self.budget.left)))

    @property
    def busy(self) -> int:
        """The number of slots that are taken: async attempts share one, forced ones take none."""
        slotted, held = self._in_flight.counts()
        return min(self.slots, slotted + max(self._async.workers(held), min(1, held)))

    @property
    def has_async(self) -> bool:
        """Whether async attempts are in flight."""
        return self._in_flight.async_count > 0

    @property
    def async_full(self) -> bool:
        """Whether no more async attempts can run here now."""
        held = self._in_flight.async_count
        return held > 0 and self._async.left(held) <= 0

    def async_room(self) -> int:
        """Returns the room for more async attempts."""
        return self._async.room(*self._in_flight.counts())

    def target(self) -> int:
        """Returns how many attempts to hold: one for each slot, and those that can start in the next 100 ms."""
        return self._target(self._in_flight.async_count)

    def _target(self, held: int, times: int = 1) -> int:
        """`times`: how many times as many jobs to hold ahead as usual."""
        slots = self.slots - self._async.workers(held)
        ahead = self.speed.ahead(slots) * times
        return slots + (ahead if self.most_ahead is None else min(ahead, self.most_ahead))

    def room(self, asked: int = 0) -> int:
        """Returns the room for more attempts; 0 until a part of the target is free that is worth a search."""
        slotted, held = self._in_flight.counts()
        target = self._target(held)
        free = target - slotted - asked
        return self._but_async(free, held, asked) if free >= max(1, (target - self.slots) // 2) else 0

    def _free(self, asked: int) -> int:
        """Returns the room for attempts that no search has to find: any part of it is worthwhile."""
        slotted, held = self._in_flight.counts()
        return max(0, self._but_async(self._target(held, _TIMES_AHEAD) - slotted - asked, held, asked))

    def _but_async(self, free: int, held: int, asked: int) -> int:
        """Returns the room for attempts of either kind.

        Whether a job is async is not known before it is claimed: while async attempts are in flight, each of those
        `asked` for may be one, and there is less room for these.
        """
        left = self._async.left(held)
        return free if not held or left <= 0 else max(0, min(free, left - asked))
