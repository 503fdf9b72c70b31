"""Short jobs do not wait behind long ones while a worker is idle.

It is about a quarter of a second, so the test wants the machine for itself:
`.venv/bin/pytest -m scale tests/scale/test_mix.py`
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from taskscheduler import Scheduler
from tests.scale.jobs import Timed
from tests.scale.waits import Ran, waits_beside_idle_workers
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import NodeProcess

WORKERS = 4
SHORT, MIDDLE, LONG = 0.001, 0.1, 5.0
MOST = 0.25  #: seconds


def a_job(trace: Path, seconds: float) -> tuple[type[Timed], dict[str, object]]:
    return Timed, {"trace": str(trace), "seconds": seconds, "added": time.monotonic()}


def add_mix(scheduler: Scheduler, trace: Path) -> int:
    """Ten seconds of jobs that come alone and in bursts: three workers' worth of long ones, and many short ones."""
    chance, count = random.Random(7), 0
    pause = threading.Event()
    for step in range(100):
        lengths = [SHORT] * chance.choice((0, 1, 5, 40)) + [MIDDLE] * chance.choice((0, 0, 1, 2))
        lengths += [LONG] if step % 20 == 5 else []
        chance.shuffle(lengths)
        if lengths:
            scheduler.add_jobs([a_job(trace, seconds) for seconds in lengths])
        count += len(lengths)
        pause.wait(0.1)
    return count


def runs_of(trace: Path) -> list[tuple[float, Ran]]:
    """The length and the times of every execution."""
    return [
        (float(seconds), Ran(int(worker), float(added), float(started), float(ended)))
        for worker, seconds, added, started, ended in traces(trace)
    ]


CLUSTERS = {
    "static": [{"pm": "static", "min_children": WORKERS, "max_children": WORKERS}],
    "dynamic": [{"pm": "dynamic", "min_children": 1, "max_children": WORKERS}],
}


@pytest.mark.scale
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_no_short_job_waits_beside_an_idle_worker(
    scheduler: Scheduler, start_node: Callable[..., NodeProcess], tmp_path: Path, cluster: str
) -> None:
    for options in CLUSTERS[cluster]:
        start_node(jobs=["tests.scale.jobs"], **options)
    trace = tmp_path / "trace"
    count = add_mix(scheduler, trace)
    eventually(lambda: len(traces(trace)) == count, 60, "all jobs have run")
    runs = runs_of(trace)
    waits = waits_beside_idle_workers([run for _, run in runs], WORKERS)
    shorts = [wait for wait, (seconds, _) in zip(waits, runs, strict=True) if seconds == SHORT]
    assert len(shorts) > 500
    assert max(shorts) <= MOST, sorted(shorts)[-10:]


def test_a_wait_beside_an_idle_worker_is_found() -> None:
    """Two workers: the third job comes at 1 and starts at 3 although one has been idle since 2.2."""
    runs = [Ran(1, 0.0, 0.0, 5.0), Ran(2, 0.0, 0.1, 2.2), Ran(2, 1.0, 3.0, 3.1)]
    assert waits_beside_idle_workers(runs, 2) == pytest.approx([0.0, 0.1, 0.8])


def test_a_wait_while_all_workers_are_busy_is_none() -> None:
    runs = [Ran(1, 0.0, 0.0, 5.0), Ran(2, 0.0, 0.0, 2.0), Ran(2, 1.0, 2.0, 3.0)]
    assert waits_beside_idle_workers(runs, 2) == [0.0, 0.0, 0.0]
