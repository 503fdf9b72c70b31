"""How soon urgent jobs start while many others wait, and a node is busy with these."""

from __future__ import annotations

import struct
import threading
import time
from pathlib import Path

from taskscheduler import Scheduler
from tests.benchmarks.draining import fill
from tests.benchmarks.jobs import Urgent
from tests.benchmarks.pacing import percentiles
from tests.benchmarks.stage import Stage, await_runs, await_true
from tests.benchmarks.stamps import Stamps

_EVERY = 0.05
_MOST_ROUNDS = 20
_FEWEST = 20  #: of fewer there is no 99th part


def measure(stage: Stage) -> None:
    """One job of a higher priority each 50 ms while others wait and drain; with new others until that is enough."""
    wanted, delays = stage.scaled(200, 100), list[float]()
    for _ in range(_MOST_ROUNDS):
        delays += _round(stage, stage.scaled(100_000, 10_000), wanted - len(delays))
        if len(delays) >= wanted:
            break
    if len(delays) < _FEWEST:
        raise RuntimeError(f"the others were done before {_FEWEST} urgent jobs were added; there were {len(delays)}")
    for part, value in percentiles(delays).items():
        stage.figures.note(f"product.urgent_{part}", value, "ms")


def _round(stage: Stage, others: int, most: int) -> list[float]:
    """The seconds until each urgent job began which was added before the others had begun."""
    folder = stage.fresh_directory()
    folder.mkdir()
    with stage.scheduler() as (uri, scheduler):
        fill(scheduler, others)
        stamps = stage.stamps()
        with stage.node(uri) as node:
            await_runs(stamps, 1, node)
            added = _add_while_others_wait(scheduler, folder, stamps, others, most)
            await_true(lambda: len(_noted(folder)) >= added)
        stage.figures.note("product.urgent_others", stamps.rate())
    return _noted(folder)


def _add_while_others_wait(scheduler: Scheduler, folder: Path, stamps: Stamps, others: int, most: int) -> int:
    pause, added, due = threading.Event(), 0, time.monotonic()
    while added < most and stamps.count() < others:
        scheduler.add_job(Urgent, {"folder": str(folder), "asked": time.monotonic()}, priority=1)
        added += 1
        due += _EVERY
        pause.wait(max(0.0, due - time.monotonic()))
    return added


def _noted(folder: Path) -> list[float]:
    return [delay for path in folder.iterdir() for (delay,) in struct.iter_unpack("d", path.read_bytes())]
