"""Stand-ins for the neighbours of a manager's parts, and short words for what happens to a pool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from taskscheduler.model.lifecycle import Ending, Status
from taskscheduler_daemon.ipc import messages
from taskscheduler_daemon.ipc.messages import Flag, Kind, Report, Run
from taskscheduler_daemon.ipc.node_proxy import NodeProxy
from taskscheduler_daemon.manager.assigner import Assigner
from taskscheduler_daemon.manager.pool.assignment import RunKind, next_assignment
from taskscheduler_daemon.manager.pool.options import PoolOptions
from taskscheduler_daemon.manager.pool.pool import Casualty, LastWords, Pool
from taskscheduler_daemon.manager.pool.scaling import workers_to_spawn
from taskscheduler_daemon.manager.pool.worker_state import WorkerState
from taskscheduler_daemon.manager.worker_handle import WorkerHandle

FOREVER = float("inf")
ASYNC, SYNC = Flag.ASYNC, Flag.NONE


def a_run(timeout: float = 0, flags: int = 0, attempt: int = 1, silence: float = 0) -> Run:
    return Run(ObjectId().binary, attempt, timeout, flags, b"", silence)


def forced_run() -> Run:
    return a_run(flags=Flag.FORCED)


def async_run(timeout: float = 0, silence: float = 0, flags: int = 0) -> Run:
    return a_run(timeout, Flag.ASYNC | flags, silence=silence)


def report_of(worker: WorkerState, run: Run, ending: Ending = Ending.SUCCEEDED, seconds: float = 1.0) -> Report:
    return Report(Kind.REPORT, ending, run.job_id, run.attempt, worker.id, seconds, b"")


class FakeClock:
    """A clock that only the test moves."""

    def __init__(self, time: float = 1000.0) -> None:
        self.time = time

    def monotonic(self) -> float:
        return self.time

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    def pause(self, seconds: float) -> None:
        self.time += seconds


class FakeNode(NodeProxy):
    """Keeps what is sent to the node."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.left: list[Run] = []  #: runs that were released

    def push(self, message: bytes) -> None:
        self.sent.append(message)

    def flush(self) -> None:
        pass

    def released(self, run: Run) -> None:
        self.left.append(run)
        super().released(run)

    def of_kind(self, kind: Kind) -> list[bytes]:
        return [message for message in self.sent if messages.kind_of(message) == kind]

    @property
    def reports(self) -> list[Report]:
        return [Report.decode(message) for message in self.of_kind(Kind.REPORT)]

    @property
    def endings(self) -> list[tuple[Ending, bytes]]:
        return [(report.ending, report.job_id) for report in self.reports]

    @property
    def errors(self) -> list[Any]:
        return [report.content().get("error") for report in self.reports]

    @property
    def gone(self) -> list[bytes]:
        return [messages.attempt_of(message)[0] for message in self.of_kind(Kind.GONE)]

    @property
    def worker_events(self) -> list[dict[str, Any]]:
        return [messages.facts_of(message) for message in self.of_kind(Kind.WORKER)]


class FakeAssigner(Assigner):
    """Keeps the interrupts that are sent to workers."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.interrupts: list[tuple[bytes, Status]] = []

    def send(self, worker: WorkerState, message: bytes) -> None:
        self.interrupts.append(messages.interruption(message))


class Scenario:
    """A pool, a clock that only the test moves, and short words for what happens."""

    def __init__(self, **options: Any) -> None:
        self.pool = Pool(PoolOptions.of(options))
        self.now = 1000.0
        self._pids = iter(range(100_000_000, 100_010_000))  # of no process that could be hit by a signal

    def spawn(self) -> list[WorkerState]:
        """Starts what the pool asks for."""
        ordinary, forced = workers_to_spawn(self.pool, self.now)
        made = [self.pool.spawned(ObjectId().binary, next(self._pids), False) for _ in range(ordinary)]
        return made + [self.pool.spawned(ObjectId().binary, next(self._pids), True) for _ in range(forced)]

    def boot(self) -> list[WorkerState]:
        workers = self.spawn()
        for worker in workers:
            self.pool.ready(worker, self.now)
        return workers

    def accept(self, *runs: Run) -> None:
        for run in runs:
            self.pool.queues.add(run, self.now)

    def assign(self) -> list[tuple[int, Run]]:
        return [(worker.pid, run) for worker, run in assign(self.pool, self.now)]

    def loaded(self, worker: WorkerState, count: int) -> list[Run]:
        """Has the worker hold so many runs, as if they had been assigned to it."""
        runs = [a_run() for _ in range(count)]
        for run in runs:
            self.pool.began(worker, run, self.now)
        return runs

    def end(self, worker: WorkerState, seconds: float = 1.0) -> Run | None:
        assert worker.running is not None
        return self.pool.ended(worker, worker.running.job_id, worker.running.attempt, seconds, self.now)

    def exit(self, worker: WorkerState) -> Casualty | None:
        return self.pool.exited(worker.pid, LastWords([]), self.now)

    def learn(self, seconds: float) -> None:
        """Lets the pool believe that jobs take so long."""
        worker = WorkerState(b"", 0, single=False)
        worker.runs.append(a_run())
        assert self.end(worker, seconds) is not None


def pool_of(workers: int, most: int | None = None, each: int = 3) -> Pool:
    """A pool with so many workers that are ready; `each` may run so many async jobs."""
    pool = Pool(PoolOptions.of({"min_children": 0, "max_children": most or workers, "async_jobs": each}))
    for pid in range(1, workers + 1):
        pool.ready(pool.spawned(ObjectId().binary, pid, forced=False), 0.0)
    return pool


def assign(pool: Pool, now: float) -> list[tuple[WorkerState, Run]]:
    """Makes all assignments that the pool allows, as the assigner does."""
    assigned = []
    for kind in RunKind:
        while (found := next_assignment(pool, kind)) is not None:
            assert found.queue.popleft().run is found.run
            pool.began(found.worker, found.run, now)
            assigned.append((found.worker, found.run))
    return assigned


@contextmanager
def handles(assigner: Assigner, *workers: WorkerState) -> Iterator[list[WorkerHandle]]:
    """Gives workers sockets and pages; nothing is forked."""
    made = [WorkerHandle() for _ in workers]
    assigner.handles.update({worker.pid: handle for worker, handle in zip(workers, made, strict=True)})
    try:
        yield made
    finally:
        for handle in made:
            handle.close()


def unread(handle: WorkerHandle) -> list[bytes]:
    """What the worker has not read yet; b"" if its manager has closed the socket."""
    handle.worker_end.setblocking(False)
    found = []
    try:
        while True:
            found.append(handle.worker_end.recv(1024))
            if not found[-1]:
                return found
    except BlockingIOError:
        return found
