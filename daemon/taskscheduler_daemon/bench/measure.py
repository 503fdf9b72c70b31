"""The measurements and their temporary node."""

from __future__ import annotations

import ctypes
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import IO, Any

from bson import ObjectId

from taskscheduler.clock import SYSTEM_CLOCK, Deadline
from taskscheduler.connection import URI_VARIABLE
from taskscheduler.errors import SchedulerError
from taskscheduler.jobs.job import Job
from taskscheduler.model.lifecycle import Status
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.settings import remark
from taskscheduler_daemon.logs import log_to_stderr
from taskscheduler_daemon.node.node import QueueNode
from taskscheduler_daemon.presentation.text import clean, shown
from taskscheduler_daemon.system.interrupts import InterruptibleQueue
from taskscheduler_daemon.system.kill import kill_tree

QUEUE = "taskscheduler-bench"

PREFIX = "taskscheduler.bench-"

_PR_SET_PDEATHSIG = 1

_NODE = "import sys; from taskscheduler_daemon.bench.measure import serve; sys.exit(serve(sys.argv[1:]))"

_NODE_ENDS_WITHIN = 10.0

_LOOK_EVERY = 0.02

_STALLED_AFTER, _SLOWEST = 60.0, 100  #: seconds, and jobs per second, after which nothing is hoped for any more

_SAMPLES_EVERY = 0.05

_WARM_UP = 20

_FORGOTTEN_AFTER = timedelta(hours=1)  #: collections that a killed benchmark has left


class Noop(Job):
    """Does nothing."""

    name = "taskscheduler.bench.noop"

    def start(self) -> None:
        return None


class Started(Job):
    """Tells when it began; the temporary node has the clock of this machine."""

    name = "taskscheduler.bench.started"

    def start(self) -> float:
        return SYSTEM_CLOCK.monotonic()


def _measure(uri: str, inbox: InterruptibleQueue[None], jobs_count: int, samples: int) -> dict[str, float]:
    """All figures by name. A signal breaks into what is measured, never into the clearing up."""
    with _scheduler(uri, inbox) as (scheduler, names):
        remark(f"measuring {clean(shown(uri))} with {jobs_count} jobs and {samples} samples")
        with inbox.breakable():
            found = _add(scheduler, jobs_count)
        with _node(uri, names) as node, inbox.breakable():
            _drain(scheduler, node, jobs_count)
            found["drain_per_second"] = _rate(scheduler)
            return found | _latencies(scheduler, samples)


# -- what is set up and taken down ------------------------------------------------------------------------------------


@contextmanager
def _scheduler(uri: str, inbox: InterruptibleQueue[None]) -> Iterator[tuple[Scheduler, dict[str, str]]]:
    """A scheduler on collections of its own, with their names; they are dropped at the end."""
    prefix = f"{PREFIX}{ObjectId()}"
    names = {"job_store": f"{prefix}.jobs", "job_queue": f"{prefix}.queue", "event_queue": f"{prefix}.events"}
    with Scheduler(uri, options=names) as scheduler, ExitStack() as stack:
        try:
            with inbox.breakable():
                assert scheduler.store  # connects and creates them
        except KeyboardInterrupt:
            _clean_up(scheduler, prefix)
            raise
        stack.callback(_clean_up, scheduler, prefix)
        yield scheduler, names


def _clean_up(scheduler: Scheduler, prefix: str) -> None:
    """Drop the collections of this benchmark, and of those that were killed before they could."""
    store = scheduler.store
    store.wakeups.close()  # a message sent later would create its collection anew
    for name in store.database.list_collection_names():
        if name.startswith(PREFIX) and (name.startswith(prefix) or _is_forgotten(name)):
            store.database.drop_collection(name)


def _is_forgotten(name: str) -> bool:
    identity = name.removeprefix(PREFIX).partition(".")[0]
    if not ObjectId.is_valid(identity):
        return False
    return SYSTEM_CLOCK.now() - ObjectId(identity).generation_time > _FORGOTTEN_AFTER


class Node:
    """The temporary node, in a session of its own, so that Ctrl-C reaches only us."""

    def __init__(self, uri: str, names: dict[str, str], log: IO[bytes]) -> None:
        self._log = log
        arguments = [str(os.getpid()), *(f"{key}={name}" for key, name in names.items())]
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _NODE, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path, URI_VARIABLE: uri},  # a URI may hold a password
            start_new_session=True,
        )

    def check(self) -> None:
        """SchedulerError if it has ended by itself."""
        if self._process.poll() is not None:
            self._log.seek(0)
            said = self._log.read().decode(errors="replace").strip().splitlines() or ["it left no message"]
            raise SchedulerError(f"the benchmark's node ended by itself: {said[-1]}")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to whatever is left of it after a while."""
        self._process.terminate()
        try:
            self._process.wait(_NODE_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            kill_tree(self._process.pid)
            self._process.wait()


@contextmanager
def _node(uri: str, names: dict[str, str]) -> Iterator[Node]:
    """A node that runs these jobs, and has ended when this returns."""
    with tempfile.TemporaryFile() as log:
        node = Node(uri, names, log)
        try:
            yield node
        finally:
            node.stop()


def serve(arguments: Sequence[str]) -> int:
    """What the temporary node does; the exit code."""
    log_to_stderr()
    if sys.platform == "linux":
        # SIGKILL to the benchmark takes the node along, which takes its workers
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(arguments[0]):  # it ended before we asked
        return ExitCode.FAILED
    names = dict(argument.split("=", 1) for argument in arguments[1:])
    scheduler = Scheduler(os.environ[URI_VARIABLE], options=names)
    pool: dict[str, Any] = {"pm": "static", "min_children": 2}
    node = QueueNode(scheduler, name="bench", queues=[QUEUE], jobs=[__name__], stop_timeout=0.5, **pool)
    return node.process()


# -- what is measured -------------------------------------------------------------------------------------------------


def _add(scheduler: Scheduler, count: int) -> dict[str, float]:
    """Half of the jobs one per call, for at most a second, the rest in one call."""
    options, singles, deadline = {"queue": QUEUE}, 0, Deadline(1.0)
    assert scheduler.store  # connects
    begun = SYSTEM_CLOCK.monotonic()
    while singles < count // 2 and not deadline.passed:
        scheduler.add_job(Noop, None, options)
        singles += 1
    between = SYSTEM_CLOCK.monotonic()
    scheduler.add_jobs([(Noop, None, options)] * (count - singles))
    end = SYSTEM_CLOCK.monotonic()
    return {
        "add_job_per_second": singles / (between - begun),
        "add_jobs_per_second": (count - singles) / (end - between),
    }


def _drain(scheduler: Scheduler, node: Node, count: int) -> None:
    """Wait until all jobs have ended; SchedulerError if that takes too long."""
    jobs, pause = scheduler.store.jobs.collection, threading.Event()
    deadline = Deadline(_STALLED_AFTER + count / _SLOWEST)
    live = {"class": Noop.name, "status": {"$lte": int(Status.PROCESSING)}}
    while jobs.find_one(live, {"_id": 1}) is not None:
        node.check()
        if deadline.passed:
            raise SchedulerError(f"the benchmark's jobs do not get on: {jobs.count_documents(live)} have not ended")
        pause.wait(_LOOK_EVERY)


def _rate(scheduler: Scheduler) -> float:
    """Jobs per second by the server's clock, from the first claim to the last end."""
    whole: dict[str, Any] = {
        "_id": None,
        "count": {"$sum": 1},
        "begun": {"$min": "$started"},
        "ended": {"$max": "$ended"},
    }
    found = next(iter(scheduler.store.jobs.collection.aggregate([{"$group": whole}])))
    return float(found["count"] / max(0.001, (found["ended"] - found["begun"]).total_seconds()))


def _latencies(scheduler: Scheduler, count: int) -> dict[str, float]:
    pause, starts, results = threading.Event(), [], []
    for _ in range(_WARM_UP + count):
        pause.wait(_SAMPLES_EVERY)
        begun = SYSTEM_CLOCK.monotonic()
        started = scheduler.add_job(Started, None, {"queue": QUEUE}).result(timeout=_STALLED_AFTER)
        results.append(SYSTEM_CLOCK.monotonic() - begun)
        starts.append(started - begun)
    return _percentiles("start", starts[_WARM_UP:]) | _percentiles("result", results[_WARM_UP:])


def _percentiles(what: str, seconds: list[float]) -> dict[str, float]:
    last = statistics.quantiles(seconds, n=100, method="inclusive")[98]
    return {f"{what}_p50_ms": 1000 * statistics.median(seconds), f"{what}_p99_ms": 1000 * last}
