"""Random histories of a pool: no run is lost or doubled, and no limit is exceeded."""

from __future__ import annotations

from collections import Counter, deque

from bson import ObjectId
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from taskscheduler_daemon.ipc.messages import Flag, Run
from taskscheduler_daemon.manager.pool.assignment import RunKind, next_assignment, steal_from
from taskscheduler_daemon.manager.pool.hand_back import async_to_hand_back, to_hand_back
from taskscheduler_daemon.manager.pool.options import PoolOptions, ProcessManagement
from taskscheduler_daemon.manager.pool.pool import LastWords, Pool
from taskscheduler_daemon.manager.pool.scaling import workers_to_spawn
from taskscheduler_daemon.manager.pool.worker_state import WorkerState

MOST_AHEAD = 64
ASYNC_JOBS = 3


class ModelWorker:
    """The real worker behind its state: its socket, the job it is at, and reports that nobody has read."""

    def __init__(self, worker: WorkerState) -> None:
        self.worker = worker
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
        self.models: dict[int, ModelWorker] = {}
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
                self.pool.queues.add(run, self.now)

    @rule()
    def spawn(self) -> None:
        ordinary, forced = workers_to_spawn(self.pool, self.now)
        assert not self.pool.stopping or (ordinary, forced) == (0, 0)
        for number in range(ordinary + forced):
            self.pids += 1
            worker = self.pool.spawned(ObjectId().binary, self.pids, number >= ordinary)
            self.models[worker.pid] = ModelWorker(worker)

    @rule(which=st.integers(0, 9))
    def boot(self, which: int) -> None:
        unready = [model.worker for model in self.models.values() if not model.worker.ready]
        if unready:
            self.pool.ready(unready[which % len(unready)], self.now)

    @rule(full=st.sampled_from([0, 0, 0, 3]))
    def assign(self, full: int) -> None:
        """`full`: so many packets are taken, then a socket is full."""
        self._assign(full)
        loaded = steal_from(self.pool)
        if loaded is not None:
            assert loaded.runs
            self._recall(loaded)
            if self.pool.queues.ordinary:
                self._assign(0)

    def _assign(self, full: int) -> None:
        number = 0
        for kind in RunKind:
            while (found := next_assignment(self.pool, kind)) is not None and not (full and number == full):
                worker, run, queue = found
                assert worker.ready
                assert not worker.leaving
                assert bool(run.flags & Flag.FORCED) == worker.forced
                assert next_assignment(self.pool, kind) == found, "a decision changes nothing"
                assert queue.popleft().run is run
                self.pool.began(worker, run, self.now)
                model = self.models[worker.pid]
                (model.loop if run.flags & Flag.ASYNC else model.inbox).append(run)
                number += 1

    def _recall(self, worker: WorkerState, between: int = -1) -> None:
        """Take the packets out of a socket; before number `between` an idle worker is faster and takes one."""
        model, runs = self.models[worker.pid], []
        for number in range(len(model.inbox)):
            if number == between and model.current is None:
                self._begin(model)
            if model.inbox:
                runs.append(model.inbox.popleft())
        if runs:
            self.pool.recalled(worker, runs, self.now)

    def _begin(self, model: ModelWorker) -> None:
        model.current = model.inbox.popleft()
        model.begun += 1
        assert model.begun <= (self.pool.options.worker_max_jobs or model.begun)
        self.started[model.current.job_id] += 1

    @rule(which=st.integers(0, 9))
    def begin(self, which: int) -> None:
        idle = [model for model in self.models.values() if model.inbox and model.current is None]
        if idle:
            self._begin(idle[which % len(idle)])

    @rule(which=st.integers(0, 9))
    def finish(self, which: int) -> None:
        busy = [model for model in self.models.values() if model.current is not None]
        if busy:
            model = busy[which % len(busy)]
            assert model.current is not None
            model.reports.append(model.current)
            model.current = None

    @rule(which=st.integers(0, 9), place=st.integers(0, 2))
    def finish_async(self, which: int, place: int) -> None:
        busy = [model for model in self.models.values() if model.loop]
        if busy:
            model = busy[which % len(busy)]
            self._over_async(model, model.loop.pop(place % len(model.loop)))

    def _over_async(self, model: ModelWorker, run: Run) -> None:
        del model.worker.async_runs[run.job_id]
        self.over[run.job_id] += 1
        self._leave_if_done(model)

    @rule(which=st.integers(0, 9), seconds=st.sampled_from([1e-5, 0.0004, 0.003, 1.0]))
    def read_reports(self, which: int, seconds: float) -> None:
        talking = [model for model in self.models.values() if model.reports]
        if talking:
            self._read(talking[which % len(talking)], seconds)

    def _read(self, model: ModelWorker, seconds: float = 0.001) -> None:
        while model.reports:
            run = model.reports.popleft()
            assert self.pool.ended(model.worker, run.job_id, run.attempt, seconds, self.now) is run
            self.over[run.job_id] += 1
        self._leave_if_done(model)

    def _leave_if_done(self, model: ModelWorker) -> None:
        if model.worker.leaving and not model.worker.runs and not model.loop:
            self._die(model)

    @rule(which=st.integers(0, 9))
    def die(self, which: int) -> None:
        if self.models:
            self._die(list(self.models.values())[which % len(self.models)])

    def _die(self, model: ModelWorker) -> None:
        worker = model.worker
        self._read_only(model)
        unread = list(model.inbox)
        casualty = self.pool.exited(worker.pid, LastWords(unread), self.now)
        assert casualty is not None
        assert (casualty.worker, casualty.unread) == (worker, unread)
        assert casualty.run is model.current
        assert [entry.run for entry in casualty.async_runs] == model.loop
        del self.models[worker.pid]
        assert list(worker.runs) == ([model.current] if model.current else [])
        for run in (*worker.runs, *model.loop):
            self.over[run.job_id] += 1
        if self.pool.stopping:
            self._hand_back()

    def _read_only(self, model: ModelWorker) -> None:
        while model.reports:
            run = model.reports.popleft()
            assert self.pool.ended(model.worker, run.job_id, run.attempt, 0.001, self.now) is run
            self.over[run.job_id] += 1

    @precondition(lambda self: bool(self.accepted))
    @rule(which=st.integers(0, 99), between=st.integers(-1, 3))
    def cancel(self, which: int, between: int) -> None:
        job_id = list(self.accepted)[which % len(self.accepted)]
        holder = self.pool.holder(job_id)
        if self.pool.queues.remove(job_id):
            assert holder is None
            self.over[job_id] += 1
            return
        if holder is None:
            return
        model = self.models[holder.pid]
        if job_id in holder.async_runs:
            model.loop.remove(self.accepted[job_id])
            self._over_async(model, self.accepted[job_id])
            return
        self._recall(holder, between)
        if self.pool.queues.remove(job_id):
            self.over[job_id] += 1
            self._leave_if_done(model)
        elif model.current is not None and model.current.job_id == job_id:
            self._die(model)

    @rule(seconds=st.floats(0, 2))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        if async_to_hand_back(self.pool, self.now):
            for run in self.pool.queues.asynchronous.drain():
                self.over[run.job_id] += 1
        stuck = to_hand_back(self.pool, self.now)
        if stuck is None:
            return
        for worker in stuck:
            self._recall(worker)
        while self.pool.queues.ordinary:
            self.over[self.pool.queues.ordinary.popleft().run.job_id] += 1

    @precondition(lambda self: not self.pool.stopping)
    @rule(really=st.integers(0, 9))
    def stop(self, really: int) -> None:
        if really:
            return
        self.pool.stopping = True
        for model in list(self.models.values()):
            self._recall(model.worker)
        self._hand_back()
        for model in list(self.models.values()):
            model.worker.leaving = True
            self._leave_if_done(model)

    def _hand_back(self) -> None:
        for run in self.pool.queues.drain():
            self.over[run.job_id] += 1

    # -- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def every_run_is_in_exactly_one_place(self) -> None:
        if not hasattr(self, "pool"):
            return
        places = Counter(self.over)
        places.update(entry.run.job_id for entry in self.pool.queues.all())
        places.update(run.job_id for worker in self.pool.workers.values() for run in worker.runs)
        places.update(job_id for worker in self.pool.workers.values() for job_id in worker.async_runs)
        assert set(places) == set(self.accepted)
        assert set(places.values()) <= {1}

    @invariant()
    def a_state_holds_what_its_worker_has(self) -> None:
        for model in getattr(self, "models", {}).values():
            current = [model.current] if model.current else []
            assert list(model.worker.runs) == [*model.reports, *current, *model.inbox]
            assert list(model.worker.async_runs) == [run.job_id for run in model.loop]

    @invariant()
    def no_run_is_started_twice(self) -> None:
        assert set(getattr(self, "started", Counter()).values()) <= {1}

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        if not hasattr(self, "pool"):
            return
        ordinary = [worker for worker in self.pool.workers.values() if not worker.forced]
        assert len(ordinary) <= self.pool.options.slots
        for worker in self.pool.workers.values():
            assert len(worker.runs) <= (1 if worker.single else MOST_AHEAD)
        forced = [worker for worker in self.pool.workers.values() if worker.forced]
        assert len(forced) <= sum(1 for run in self.accepted.values() if run.flags & Flag.FORCED)

    @invariant()
    def async_jobs_are_never_beside_others_and_leave_them_a_worker(self) -> None:
        if not hasattr(self, "pool"):
            return
        workers = self.pool.workers.values()
        assert not any(worker.runs and worker.async_runs for worker in workers)
        assert all(len(worker.async_runs) <= ASYNC_JOBS for worker in workers)
        looping = sum(1 for worker in workers if worker.async_runs and not worker.leaving)
        assert looping <= max(1, self.pool.options.slots - 1)

    def teardown(self) -> None:
        """Whatever has happened, all that is left gets done, unless the pool stops."""
        if not hasattr(self, "pool"):
            return
        for _ in range(10 * len(self.accepted) + 20):
            self.now += 10
            self.spawn()
            for model in list(self.models.values()):
                if not model.worker.ready:
                    self.pool.ready(model.worker, self.now)
            self.assign(0)
            for model in list(self.models.values()):
                while model.inbox or model.current:
                    if model.current is None:
                        self._begin(model)
                    assert model.current is not None
                    model.reports.append(model.current)
                    model.current = None
                self._read(model)
                while model.loop:
                    self._over_async(model, model.loop.pop())
            self.every_run_is_in_exactly_one_place()
            self.no_limit_is_exceeded()
        assert set(self.over) == set(self.accepted)
        assert not self.pool.queues.all()


PoolHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPoolHistory = PoolHistory.TestCase
