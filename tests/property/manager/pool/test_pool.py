"""Random histories of a pool: no run is lost or doubled, and no limit is exceeded."""

from __future__ import annotations

from collections import Counter, deque
from itertools import chain

from bson import ObjectId
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from taskscheduler_daemon.ipc.messages import Flag, Run
from taskscheduler_daemon.manager.pool.assignment import assignments, steal_from
from taskscheduler_daemon.manager.pool.hand_back import async_to_hand_back, to_hand_back
from taskscheduler_daemon.manager.pool.options import PoolOptions, ProcessManagement
from taskscheduler_daemon.manager.pool.pool import Pool
from taskscheduler_daemon.manager.pool.scaling import workers_to_spawn
from taskscheduler_daemon.manager.pool.worker_state import WorkerState

MOST_AHEAD = 64
ASYNC_JOBS = 3


class WorkerHandle:
    """The real worker behind a member: its socket, the job it is at, and reports that nobody has read."""

    def __init__(self, member: WorkerState) -> None:
        self.member = member
        self.inbox: deque[Run] = deque()
        self.current: Run | None = None
        self.reports: deque[Run] = deque()
        self.loop: list[Run] = []  #: async jobs that run at once
        self.begun = 0


class PoolHistory(RuleBasedStateMachine):
    """Does to a pool what the manager does, in any order."""

    @initialize(
        pm=st.sampled_from(ProcessManagement),
        least=st.integers(0, 3),
        more=st.integers(0, 2),
        most=st.sampled_from([0, 0, 1, 3]),
    )
    def build(self, pm: ProcessManagement, least: int, more: int, most: int) -> None:
        if pm is ProcessManagement.STATIC:
            least = max(1, least)
        counts = {"min_children": least, "max_children": max(1, least + more), "async_jobs": ASYNC_JOBS}
        self.pool = Pool(PoolOptions.of({"pm": pm, **counts, "worker_max_jobs": most}))
        self.now = 0.0
        self.pids = 0
        self.hands: dict[int, WorkerHandle] = {}
        self.accepted: dict[bytes, Run] = {}
        self.over: Counter[bytes] = Counter()  #: reported, lost with a worker, cancelled or handed back
        self.started: Counter[bytes] = Counter()
        self.picks = 0

    # -- what happens ---------------------------------------------------------------------------------------------

    @rule(flag=st.sampled_from([Flag.NONE, Flag.FORCED, Flag.ASYNC]), count=st.integers(1, 6))
    def accept(self, flag: Flag, count: int) -> None:
        if flag is Flag.ASYNC and not self.pool.options.async_limit:
            flag = Flag.NONE  # as the node does
        for _ in range(1 if flag is Flag.FORCED else count):
            run = Run(ObjectId().binary, 1, 0, flag, b"")
            self.accepted[run.job_id] = run
            if self.pool.stopping:
                self.over[run.job_id] += 1
            else:
                self.pool.accept(run, self.now)

    @rule()
    def spawn(self) -> None:
        ordinary, forced = workers_to_spawn(self.pool, self.now)
        assert not self.pool.stopping or (ordinary, forced) == (0, 0)
        for number in range(ordinary + forced):
            self.pids += 1
            member = self.pool.spawned(ObjectId().binary, self.pids, number >= ordinary)
            self.hands[member.pid] = WorkerHandle(member)

    @rule(which=st.integers(0, 9))
    def boot(self, which: int) -> None:
        unready = [hands.member for hands in self.hands.values() if not hands.member.ready]
        if unready:
            self.pool.ready(unready[which % len(unready)], self.now)

    @rule(full=st.sampled_from([0, 0, 0, 3]))
    def assign(self, full: int) -> None:
        """`full`: so many packets are taken, then a socket is full."""
        self._assign(full)
        loaded = steal_from(self.pool)
        if loaded is not None:
            assert loaded.runs
            self._take_back(loaded)
            if self.pool.waiting:
                self._assign(0)

    def _assign(self, full: int) -> None:
        for number, (member, run) in enumerate(chain.from_iterable(assignments(self.pool))):
            assert member.ready
            assert not member.leaving
            assert bool(run.flags & Flag.FORCED) == member.forced
            if full and number == full:
                self.pool.requeue([run], self.now)
                return
            self.pool.began(member, run, self.now)
            hands = self.hands[member.pid]
            (hands.loop if run.flags & Flag.ASYNC else hands.inbox).append(run)

    def _take_back(self, member: WorkerState, between: int = -1) -> None:
        """Take the packets out of a socket; before number `between` an idle worker is faster and takes one."""
        hands, runs = self.hands[member.pid], []
        for number in range(len(hands.inbox)):
            if number == between and hands.current is None:
                self._begin(hands)
            if hands.inbox:
                runs.append(hands.inbox.popleft())
        if runs:
            self.pool.recalled(member, runs, self.now)

    def _begin(self, hands: WorkerHandle) -> None:
        hands.current = hands.inbox.popleft()
        hands.begun += 1
        assert hands.begun <= (self.pool.options.worker_max_jobs or hands.begun)
        self.started[hands.current.job_id] += 1

    @rule(which=st.integers(0, 9))
    def begin(self, which: int) -> None:
        idle = [hands for hands in self.hands.values() if hands.inbox and hands.current is None]
        if idle:
            self._begin(idle[which % len(idle)])

    @rule(which=st.integers(0, 9))
    def finish(self, which: int) -> None:
        busy = [hands for hands in self.hands.values() if hands.current is not None]
        if busy:
            hands = busy[which % len(busy)]
            assert hands.current is not None
            hands.reports.append(hands.current)
            hands.current = None

    @rule(which=st.integers(0, 9), place=st.integers(0, 2))
    def finish_async(self, which: int, place: int) -> None:
        busy = [hands for hands in self.hands.values() if hands.loop]
        if busy:
            hands = busy[which % len(busy)]
            self._over_async(hands, hands.loop.pop(place % len(hands.loop)))

    def _over_async(self, hands: WorkerHandle, run: Run) -> None:
        del hands.member.async_runs[run.job_id]
        self.over[run.job_id] += 1
        self._leave_if_done(hands)

    @rule(which=st.integers(0, 9), seconds=st.sampled_from([1e-5, 0.0004, 0.003, 1.0]))
    def read_reports(self, which: int, seconds: float) -> None:
        talking = [hands for hands in self.hands.values() if hands.reports]
        if talking:
            self._read(talking[which % len(talking)], seconds)

    def _read(self, hands: WorkerHandle, seconds: float = 0.001) -> None:
        while hands.reports:
            run = hands.reports.popleft()
            assert self.pool.ended(hands.member, run.job_id, run.attempt, seconds, self.now) is run
            self.over[run.job_id] += 1
        self._leave_if_done(hands)

    def _leave_if_done(self, hands: WorkerHandle) -> None:
        if hands.member.leaving and not hands.member.runs and not hands.loop:
            self._die(hands)

    @rule(which=st.integers(0, 9))
    def die(self, which: int) -> None:
        if self.hands:
            self._die(list(self.hands.values())[which % len(self.hands)])

    def _die(self, hands: WorkerHandle) -> None:
        member = hands.member
        self._read_only(hands)
        self._take_back(member)
        assert self.pool.exited(member.pid, self.now) is member
        del self.hands[member.pid]
        assert list(member.runs) == ([hands.current] if hands.current else [])
        for run in (*member.runs, *hands.loop):
            self.over[run.job_id] += 1
        if self.pool.stopping:
            self._hand_back()

    def _read_only(self, hands: WorkerHandle) -> None:
        while hands.reports:
            run = hands.reports.popleft()
            assert self.pool.ended(hands.member, run.job_id, run.attempt, 0.001, self.now) is run
            self.over[run.job_id] += 1

    @precondition(lambda self: bool(self.accepted))
    @rule(which=st.integers(0, 99), between=st.integers(-1, 3))
    def cancel(self, which: int, between: int) -> None:
        job_id = list(self.accepted)[which % len(self.accepted)]
        holder = self.pool.holder(job_id)
        if self.pool.remove_waiting(job_id):
            assert holder is None
            self.over[job_id] += 1
            return
        if holder is None:
            return
        hands = self.hands[holder.pid]
        if job_id in holder.async_runs:
            hands.loop.remove(self.accepted[job_id])
            self._over_async(hands, self.accepted[job_id])
            return
        self._take_back(holder, between)
        if self.pool.remove_waiting(job_id):
            self.over[job_id] += 1
            self._leave_if_done(hands)
        elif hands.current is not None and hands.current.job_id == job_id:
            self._die(hands)

    @rule(seconds=st.floats(0, 2))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        if async_to_hand_back(self.pool, self.now):
            for run in self.pool.asynchronous.drain():
                self.over[run.job_id] += 1
        stuck = to_hand_back(self.pool, self.now)
        if stuck is None:
            return
        for member in stuck:
            self._take_back(member)
        while self.pool.waiting:
            self.over[self.pool.waiting.popleft().run.job_id] += 1

    @precondition(lambda self: not self.pool.stopping)
    @rule(really=st.integers(0, 9))
    def stop(self, really: int) -> None:
        if really:
            return
        self.pool.stopping = True
        for hands in list(self.hands.values()):
            self._take_back(hands.member)
        self._hand_back()
        for hands in list(self.hands.values()):
            hands.member.leaving = True
            self._leave_if_done(hands)

    def _hand_back(self) -> None:
        for run in self.pool.drain():
            self.over[run.job_id] += 1

    # -- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def every_run_is_in_exactly_one_place(self) -> None:
        if not hasattr(self, "pool"):
            return
        places = Counter(self.over)
        places.update(entry.run.job_id for entry in self.pool.unassigned())
        places.update(run.job_id for member in self.pool.workers.values() for run in member.runs)
        places.update(job_id for member in self.pool.workers.values() for job_id in member.async_runs)
        assert set(places) == set(self.accepted)
        assert set(places.values()) <= {1}

    @invariant()
    def a_member_holds_what_its_worker_has(self) -> None:
        for hands in getattr(self, "hands", {}).values():
            current = [hands.current] if hands.current else []
            assert list(hands.member.runs) == [*hands.reports, *current, *hands.inbox]
            assert list(hands.member.async_runs) == [run.job_id for run in hands.loop]

    @invariant()
    def no_run_is_started_twice(self) -> None:
        assert set(getattr(self, "started", Counter()).values()) <= {1}

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        if not hasattr(self, "pool"):
            return
        ordinary = [member for member in self.pool.workers.values() if not member.forced]
        assert len(ordinary) <= self.pool.options.slots
        for member in self.pool.workers.values():
            assert len(member.runs) <= (1 if member.single else MOST_AHEAD)
        forced = [member for member in self.pool.workers.values() if member.forced]
        assert len(forced) <= sum(1 for run in self.accepted.values() if run.flags & Flag.FORCED)

    @invariant()
    def async_jobs_are_never_beside_others_and_leave_them_a_worker(self) -> None:
        if not hasattr(self, "pool"):
            return
        members = self.pool.workers.values()
        assert not any(member.runs and member.async_runs for member in members)
        assert all(len(member.async_runs) <= ASYNC_JOBS for member in members)
        looping = sum(1 for member in members if member.async_runs and not member.leaving)
        assert looping <= max(1, self.pool.options.slots - 1)

    def teardown(self) -> None:
        """Whatever has happened, all that is left gets done, unless the pool stops."""
        if not hasattr(self, "pool"):
            return
        for _ in range(10 * len(self.accepted) + 20):
            self.now += 10
            self.spawn()
            for hands in list(self.hands.values()):
                if not hands.member.ready:
                    self.pool.ready(hands.member, self.now)
            self.assign(0)
            for hands in list(self.hands.values()):
                while hands.inbox or hands.current:
                    if hands.current is None:
                        self._begin(hands)
                    assert hands.current is not None
                    hands.reports.append(hands.current)
                    hands.current = None
                self._read(hands)
                while hands.loop:
                    self._over_async(hands, hands.loop.pop())
            self.every_run_is_in_exactly_one_place()
            self.no_limit_is_exceeded()
        assert set(self.over) == set(self.accepted)
        assert not self.pool.unassigned()


PoolHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPoolHistory = PoolHistory.TestCase
