"""Totals: what this process has counted since it was started, for those who scrape it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from taskscheduler.model.lifecycle import Ending
from taskscheduler.model.losses import NODE, WORKER
from taskscheduler.model.metrics.counts import FINAL_OUTCOMES, Counts, Room, Sample, Series
from taskscheduler.model.metrics.histogram import Histogram
from taskscheduler_daemon.monitoring.families import Value

_LOST = (Ending.LOST, Ending.SUSPECTED)

CAUSES = (WORKER, NODE)  #: what was lost with an attempt

CLEAN, CODE, SIGNAL = "exit", "code", "signal"

_CLEANLY = "exited with code 0"  #: as the manager words it

EXITS = (CLEAN, CODE, SIGNAL)  #: how a worker has ended: as it should, with an exit code, by a signal


class Totals:
    """Grows as long as the process lives, over all its sessions. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._room = Room()
        self._series: dict[Series, Counts] = {}
        self._lost = Counter[str]()
        self._spawns = 0
        self._exits = Counter[str]()

    def count(self, samples: Iterable[Sample], died: str = WORKER) -> None:
        """Counts attempts that have ended; `died`: what was lost with those that were lost."""
        with self._lock:
            for sample in samples:
                counts = self._series.get(sample[0])
                if counts is None:
                    counts = self._series.setdefault(self._room.place(sample[0]), Counts())
                counts.add(sample)
                if sample.ending in _LOST:
                    self._lost[died] += 1

    def worker_changed(self, facts: Mapping[str, Any]) -> None:
        """Counts a worker that was started or has ended, as the manager reports it."""
        with self._lock:
            if facts["event"] == "worker_spawn":
                self._spawns += 1
            else:
                self._exits[_reason(str(facts.get("exit")))] += 1

    def values(self, node: str) -> list[Value]:
        """Returns everything that was counted, of the node of this name."""
        with self._lock:
            found = [value for series, counts in self._series.items() for value in _of_series(series, counts)]
            found += [Value("jobs_lost", (cause,), self._lost[cause]) for cause in CAUSES]
            found += [Value("worker_exits", (node, how), self._exits[how]) for how in EXITS]
            return [*found, Value("worker_spawns", (node,), self._spawns)]


def _of_series(series: Series, counts: Counts) -> Iterator[Value]:
    for status in FINAL_OUTCOMES:
        yield Value("jobs_finished", (*series, status), counts.outcomes[status])
    yield Value("job_retries", series, counts.outcomes["retried"])
    yield Value("job_wait_seconds", series, _copy(counts.wait))
    yield Value("job_duration_seconds", series, _copy(counts.run))


def _copy(histogram: Histogram) -> Histogram:
    return Histogram(histogram.buckets, histogram.sum)


def _reason(how: str) -> str:
    if how == _CLEANLY:
        return CLEAN
    return SIGNAL if "signal" in how else CODE
