"""How fast jobs are added while nothing runs them, next to bare inserts in the same minute."""

from __future__ import annotations

import time

from tests.benchmarks import floor
from tests.benchmarks.jobs import Stamp
from tests.benchmarks.stage import Stage


def measure(stage: Stage) -> None:
    """One job per call from one and from eight threads, and many per call."""
    seconds = 3.0 if not stage.quick else 1.0
    for threads in (1, 8):
        stage.figures.note(f"floor.insert_{threads}", floor.singles(stage, threads, seconds))
        with stage.scheduler() as (_, scheduler):
            scheduler.add_job(Stamp)
            rate = floor.in_threads(threads, seconds, lambda: scheduler.add_job(Stamp))
            stage.figures.note(f"product.add_{threads}", rate)
    _bulk(stage, stage.scaled(30_000, 5_000))


def _bulk(stage: Stage, count: int) -> None:
    with stage.scheduler() as (_, scheduler):
        begun = time.monotonic()
        scheduler.add_jobs([Stamp] * count)
        stage.figures.note("product.add_jobs", count / (time.monotonic() - begun))
