"""Adds jobs as a process of its own, by the version of the product that its path names, and prints what it measured.

`python -m tests.benchmarks.acting URI many COUNT`, `... singles THREADS SECONDS` or `... latency WARM COUNT`.
It uses only what every version since 0.1.0 has: nothing but public names of the product is imported here.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from taskscheduler import Scheduler
from tests.benchmarks.jobs import Stamp
from tests.benchmarks.pacing import in_threads, paced

_EVERY = 0.05
_WITHIN = 30.0


def many(scheduler: Scheduler, count: int) -> float:
    """Adds so many jobs with one call; returns how many per second that makes."""
    begun = time.monotonic()
    scheduler.add_jobs([Stamp] * count)
    return count / (time.monotonic() - begun)


def singles(scheduler: Scheduler, threads: int, seconds: float) -> float:
    """Adds one job a call from so many threads; returns how many per second."""
    scheduler.add_job(Stamp)
    return in_threads(threads, seconds, lambda: scheduler.add_job(Stamp))


def latency(scheduler: Scheduler, warm: int, count: int) -> dict[str, Any]:
    """Adds jobs one by one, first without and then with somebody who waits for each result.

    Returns when each was added, how long that took, and how long results took; jobs run in the order of adding.
    """

    def with_result() -> None:
        scheduler.add_job(Stamp).result(timeout=_WITHIN)

    paced(warm, _EVERY, with_result)
    added = paced(count, _EVERY, lambda: scheduler.add_job(Stamp))
    with_result()  # then those before it have begun
    results = paced(count, _EVERY, with_result)
    return {
        "begun": [begun for begun, _ in added],
        "add": [took for _, took in added],
        "result": [took for _, took in results],
    }


def act(uri: str, what: str, *numbers: str) -> Any:
    """Does one of these things with a scheduler of its own."""
    with Scheduler(uri) as scheduler:
        if what == "many":
            return many(scheduler, int(numbers[0]))
        if what == "singles":
            return singles(scheduler, int(numbers[0]), float(numbers[1]))
        return latency(scheduler, int(numbers[0]), int(numbers[1]))


if __name__ == "__main__":
    print(json.dumps(act(*sys.argv[1:])))  # noqa: T201
