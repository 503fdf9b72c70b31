"""Whether speed and memory stay as they are: with millions of ended jobs, and over a day's jobs in a row."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.benchmarks import latency
from tests.benchmarks.draining import drained
from tests.benchmarks.jobs import Stamp
from tests.benchmarks.pacing import percentiles
from tests.benchmarks.processes import pss_mb
from tests.benchmarks.stage import Stage, await_all_ended, await_runs
from tests.benchmarks.versions import PRESENT
from tests.scale.cluster import DAYS, ended
from tests.scale.models import models

_ROUNDS = 7  #: a drain alone differs by a sixth from the one before
_PORTIONS, _QUARTER = 20, 5


def measure(stage: Stage) -> None:
    """Drain and latency with 10 000 000 ended jobs in the store and with none, by turns."""
    with _many_ended(stage, stage.scaled(10_000_000, 100_000)) as uri:
        for number in range(_ROUNDS):
            for side in ("none", "many") if number % 2 == 0 else ("many", "none"):
                if side == "many":
                    _measure(stage, side, uri)
                else:
                    with stage.fresh_uri() as empty:
                        _measure(stage, side, empty)


@contextmanager
def _many_ended(stage: Stage, count: int) -> Iterator[str]:
    """The URI of a database with so many ended jobs, as the product writes them, from the last days."""
    folder = stage.fresh_directory()
    folder.mkdir()
    with stage.scheduler() as (uri, scheduler):
        found = models(scheduler, uri, folder)
    with stage.scheduler() as (uri, scheduler):  # without the limits, pauses and schedules that models need
        ended(found).fill(scheduler.store.jobs.collection, count, DAYS)
        scheduler.store.database.client.admin.command("fsync")  # else the server writes them while we measure
        yield uri


def _measure(stage: Stage, side: str, uri: str) -> None:
    note = stage.figures.note
    found = drained(stage, PRESENT, uri, stage.scaled(30_000, 5_000))
    note(f"growth.drain_{side}", found.completed)
    note(f"growth.pss_{side}", found.pss, "MB")
    stamps = stage.stamps()
    with stage.node(uri) as node:
        node.wait_until_ready()
        for name, seconds in latency.of_jobs(PRESENT, uri, stamps, stage.scaled(200, 100)).items():
            note(f"growth.{name}_p50_{side}", percentiles(seconds)["p50"], "ms")


def day(stage: Stage) -> None:
    """Adds and runs 1 000 000 jobs in portions on one node; the first and the last quarter of the portions."""
    portion = stage.scaled(1_000_000, 100_000) // _PORTIONS
    rates, memory = list[float](), list[float]()
    with stage.scheduler() as (uri, scheduler):
        stamps = stage.stamps()
        with stage.node(uri) as node:
            node.wait_until_ready()
            for number in range(1, _PORTIONS + 1):
                begun = time.monotonic()
                scheduler.add_jobs([Stamp] * portion)
                await_runs(stamps, number * portion, node)
                rates.append(portion / (await_all_ended(scheduler.store.jobs.collection) - begun))
                memory.append(pss_mb([node.pid, *node.tree()]))
    _note_ends(stage, "rate", rates, "/s")
    _note_ends(stage, "pss", memory, "MB")


def _note_ends(stage: Stage, name: str, values: Sequence[float], unit: str) -> None:
    stage.figures.note(f"day.{name}_begin", statistics.median(values[:_QUARTER]), unit)
    stage.figures.note(f"day.{name}_end", statistics.median(values[-_QUARTER:]), unit)
