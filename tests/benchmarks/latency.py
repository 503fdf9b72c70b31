"""How soon a job starts, and its result is there, on an idle cluster: one job each 50 ms."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable

from taskscheduler import Scheduler
from tests.benchmarks import floor
from tests.benchmarks.jobs import Stamp
from tests.benchmarks.stage import Stage, await_true
from tests.benchmarks.stamps import Stamps

_EVERY, _WARM = 0.05, 20


def measure(stage: Stage) -> None:
    """First without, then with somebody who waits for each result."""
    count = stage.scaled(400, 100)
    with floor.single(stage, count + 2) as insert:
        _note(stage, "floor.paced_insert", [took for _, took in _paced(count, insert)])
    with stage.scheduler() as (uri, scheduler):
        stamps = stage.stamps()
        with stage.node(uri) as node:
            node.wait_until_ready()
            _paced(_WARM, lambda: _result(scheduler))
            added = _paced(count, lambda: _added(scheduler))
            await_true(lambda: stamps.count() >= _WARM + count)
            _note(stage, "product.start", _until_started(stamps, [begun for begun, _ in added]))
            _note(stage, "product.add", [took for _, took in added])
            _note(stage, "product.result", [took for _, took in _paced(count, lambda: _result(scheduler))])


def _result(scheduler: Scheduler) -> None:
    scheduler.add_job(Stamp).result(timeout=10)


def _added(scheduler: Scheduler) -> None:
    scheduler.add_job(Stamp)


def _until_started(stamps: Stamps, begun: list[float]) -> list[float]:
    """At this pace each execution belongs to the job that was added before it, in order."""
    return [started - asked for started, asked in zip(stamps.times()[_WARM:], begun, strict=True)]


def _paced(count: int, act: Callable[[], object]) -> list[tuple[float, float]]:
    """When each call was made and how long it took."""
    pause, calls, due = threading.Event(), [], time.monotonic()
    for _ in range(count):
        due += _EVERY
        pause.wait(max(0.0, due - time.monotonic()))
        begun = time.monotonic()
        act()
        calls.append((begun, time.monotonic() - begun))
    return calls


def _note(stage: Stage, name: str, seconds: list[float]) -> None:
    stage.figures.note(f"{name}_p50", 1000 * statistics.median(seconds), "ms")
    stage.figures.note(f"{name}_p99", 1000 * statistics.quantiles(seconds, n=100)[98], "ms")
