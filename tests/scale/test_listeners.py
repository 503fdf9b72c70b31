"""What listeners and waits of a scheduler cost its other calls.

It is about milliseconds, so the test wants the machine for itself:
`.venv/bin/pytest -m scale tests/scale/test_listeners.py`
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from datetime import timedelta

import pytest

from taskscheduler import Scheduler
from tests.support.eventually import eventually

MANY = 500
ADDED = 400
MOST = 2.0  #: times the latency without them

pytestmark = [pytest.mark.scale, pytest.mark.timeout(600)]


def p99(scheduler: Scheduler) -> float:
    """The 99th percentile of the time that `add_job` takes, in seconds."""
    pause, seconds = threading.Event(), []
    for _ in range(ADDED):
        began = time.perf_counter()
        scheduler.add_job("nothing.at_all")
        seconds.append(time.perf_counter() - began)
        pause.wait(0.005)
    return sorted(seconds)[ADDED * 99 // 100]


def test_five_hundred_listeners_and_waits_do_not_slow_adding_down(scheduler: Scheduler) -> None:
    p99(scheduler)  # warm
    alone = min(p99(scheduler) for _ in range(3))
    waited = [scheduler.add_job("late", at=timedelta(hours=1)) for _ in range(MANY)]
    threads = [threading.Thread(target=process.wait, args=(300,), daemon=True) for process in waited]
    with ExitStack() as stack:
        for number in range(MANY):
            stack.enter_context(scheduler.listen_in_background({"class": f"none{number}"}))
        for thread in threads:
            thread.start()
        eventually(lambda: len(scheduler.completions._watched) >= MANY - 2, 60)
        crowded = min(p99(scheduler) for _ in range(3))
        print(f"\np99 of add_job: alone {alone * 1000:.2f} ms, beside {2 * MANY} others {crowded * 1000:.2f} ms")  # noqa: T201
        for process in waited:
            process.cancel()
        for thread in threads:
            thread.join(60)
    assert crowded <= MOST * alone
