"""Measures how fast a database adds and runs jobs, in collections of its own that are dropped at the end."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

from bson import ObjectId

from taskscheduler.clock import SYSTEM_CLOCK, Deadline
from taskscheduler.errors import SchedulerError
from taskscheduler.model.lifecycle import Status
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.bench.jobs import Noop, Started
from taskscheduler_daemon.bench.node import QUEUE, temporary_node
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.terminal import remark
from taskscheduler_daemon.presentation.text import shown
from taskscheduler_daemon.system.interrupts import InterruptibleQueue
from taskscheduler_daemon.system.node_subprocess import NodeSubprocess

PREFIX = "taskscheduler.bench-"

_LOOK_EVERY = 0.02

_STALLED_AFTER, _SLOWEST = 60.0, 100  #: seconds, and jobs per second, below which the benchmark gives up

_SAMPLES_EVERY = 0.05

_WARM_UP = 20

_FORGOTTEN_AFTER = timedelta(hours=1)  #: age of collections that a killed benchmark has left


def measure(uri: str, interrupts: InterruptibleQueue[None], jobs_count: int, samples: int) -> dict[str, float]:
    """Returns all figures by name. A signal interrupts the measurements, but never the clean-up.

    Raises SchedulerError if the temporary node ends by itself or does not finish the jobs in time.
    """
    with _scheduler(uri, interrupts) as (scheduler, collections):
        remark(f"measuring {clean(shown(uri))} with {jobs_count} jobs and {samples} samples")
        with interrupts.breakable():
            figures = _add(scheduler, jobs_count)
        with temporary_node(uri, collections) as node, interrupts.breakable():
            _drain(scheduler, node, jobs_count)
            figures["drain_per_second"] = _rate(scheduler)
            return figures | _latencies(scheduler, samples)


@contextmanager
def _scheduler(uri: str, interrupts: InterruptibleQueue[None]) -> Iterator[tuple[Scheduler, dict[str, str]]]:
    """Opens a scheduler on collections of its own, with their names; drops them at the end."""
    prefix = f"{PREFIX}{ObjectId()}"
    names = {"job_store": f"{prefix}.jobs", "job_queue": f"{prefix}.queue", "event_queue": f"{prefix}.events"}
    with Scheduler(uri, options=names) as scheduler, ExitStack() as stack:
        try:
            with interrupts.breakable():
                assert scheduler.store  # connects and creates them
        except KeyboardInterrupt:
            _clean_up(scheduler, prefix)
            raise
        stack.callback(_clean_up, scheduler, prefix)
        yield scheduler, names


def _clean_up(scheduler: Scheduler, prefix: str) -> None:
    """Drops the collections of this benchmark, and those of benchmarks that were killed before they could."""
    store = scheduler.store
    store.wakeups.close()  # a message sent later would create its collection anew
    for name in store.database.list_collection_names():
        if name.startswith(PREFIX) and (name.startswith(prefix) or is_forgotten(name)):
            store.database.drop_collection(name)


def is_forgotten(name: str) -> bool:
    """Returns whether a collection belongs to a benchmark that began too long ago to be running still."""
    identity = name.removeprefix(PREFIX).partition(".")[0]
    if not ObjectId.is_valid(identity):
        return False
    return SYSTEM_CLOCK.now() - ObjectId(identity).generation_time > _FORGOTTEN_AFTER


def _add(scheduler: Scheduler, count: int) -> dict[str, float]:
    """Adds half of the jobs one per call, for at most a second, and the rest in one call."""
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


def _drain(scheduler: Scheduler, node: NodeSubprocess, count: int) -> None:
    """Waits until all jobs have ended; raises SchedulerError if that takes too long."""
    jobs, pause = scheduler.store.jobs.collection, threading.Event()
    deadline = Deadline(_STALLED_AFTER + count / _SLOWEST)
    live = {"class": Noop.name, "status": {"$lte": int(Status.PROCESSING)}}
    while jobs.find_one(live, {"_id": 1}) is not None:
        node.check()
        if deadline.passed:
            left = jobs.count_documents(live)
            raise SchedulerError(f"the benchmark's jobs make no progress: {left} of {count} have not ended in time")
        pause.wait(_LOOK_EVERY)


def _rate(scheduler: Scheduler) -> float:
    """Returns the jobs per second by the server's clock, from the first claim to the last end."""
    whole: dict[str, Any] = {
        "_id": None,
        "count": {"$sum": 1},
        "begun": {"$min": "$started"},
        "ended": {"$max": "$ended"},
    }
    found = next(iter(scheduler.store.jobs.collection.aggregate([{"$group": whole}])))
    return float(found["count"] / max(0.001, (found["ended"] - found["begun"]).total_seconds()))


def _latencies(scheduler: Scheduler, count: int) -> dict[str, float]:
    """Runs jobs one after the other and returns the percentiles of their start and of their result."""
    pause, starts, results = threading.Event(), [], []
    for _ in range(_WARM_UP + count):
        pause.wait(_SAMPLES_EVERY)
        begun = SYSTEM_CLOCK.monotonic()
        started = scheduler.add_job(Started, None, {"queue": QUEUE}).result(timeout=_STALLED_AFTER)
        results.append(SYSTEM_CLOCK.monotonic() - begun)
        starts.append(started - begun)
    return percentiles("start", starts[_WARM_UP:]) | percentiles("result", results[_WARM_UP:])


def percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    """Returns the 50th and the 99th percentile in milliseconds, under names that begin with `name`."""
    last = statistics.quantiles(seconds, n=100, method="inclusive")[98]
    return {f"{name}_p50_ms": 1000 * statistics.median(seconds), f"{name}_p99_ms": 1000 * last}
