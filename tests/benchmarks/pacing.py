"""How calls are made: as fast as so many threads can, or one each so many seconds."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any


def in_threads(threads: int, seconds: float, act: Callable[[], Any]) -> float:
    """Calls a function from so many threads for so many seconds; returns how often per second it was called.

    Each thread calls it at least once, also if it first runs when the time is over.
    """
    ends, counts = time.monotonic() + seconds, [0] * threads

    def work(number: int) -> None:
        while not counts[number] or time.monotonic() < ends:
            act()
            counts[number] += 1

    running = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
    begun = time.monotonic()
    for one in running:
        one.start()
    for one in running:
        one.join()
    return sum(counts) / (time.monotonic() - begun)


def paced(count: int, every: float, act: Callable[[], object]) -> list[tuple[float, float]]:
    """Calls a function each so many seconds; returns when each call was made, and how long it took."""
    pause, calls, due = threading.Event(), [], time.monotonic()
    for _ in range(count):
        due += every
        pause.wait(max(0.0, due - time.monotonic()))
        begun = time.monotonic()
        act()
        calls.append((begun, time.monotonic() - begun))
    return calls


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Returns p50 and p99 of these times, in milliseconds."""
    return {"p50": 1000 * statistics.median(seconds), "p99": 1000 * statistics.quantiles(seconds, n=100)[98]}
