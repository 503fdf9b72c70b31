"""Points of a chart: what was counted in each step of time, read from stored documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from taskscheduler.model.metrics.counts import OUTCOMES, Counts, Series
from taskscheduler.model.metrics.histogram import Histogram, stored_histogram
from taskscheduler.model.metrics.steps import HOUR, MINUTE, Range, floor
from taskscheduler.model.sound import is_count, is_text


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted in a time: attempts by how they ended, how long they waited and how long they ran."""

    counts: Counts

    @property
    def outcomes(self) -> Mapping[str, int]:
        """Attempts by how they ended: `done`, `failed`, `timeout`, `canceled`, and those after which the job is queued
        again: `retried`, `snoozed`, `lost` with its worker or node, `returned` by a node that stopped."""
        return self.counts.outcomes

    @property
    def ended(self) -> int:
        """How many jobs have ended, however."""
        return self.counts.ended

    @property
    def failures(self) -> int:
        """How many jobs have ended FAILED or TIMEOUT."""
        return self.counts.failures

    @property
    def wait(self) -> Histogram:
        """The seconds from when an attempt was due until it began: `wait.quantile(0.95)`."""
        return self.counts.wait

    @property
    def run(self) -> Histogram:
        """The seconds that an attempt ran."""
        return self.counts.run


@dataclass(frozen=True, slots=True)
class MetricPoint(Counted):
    """What was counted in one step of time."""

    at: datetime  #: when the step began
    seconds: int  #: how long it is

    @property
    def per_second(self) -> float:
        """How many jobs have ended in each second of the step. The newest step is not over yet."""
        return self.ended / self.seconds


@dataclass(frozen=True, slots=True)
class MetricRow(Counted):
    """What was counted about one class or queue."""

    name: str


def points(time: Range, documents: Iterable[Mapping[str, Any]]) -> list[MetricPoint]:
    """Returns a point for each step of a time, also for those in which nothing was counted."""
    found = {begins: Counts() for begins in time.begins()}
    for document in documents:
        began = MINUTE.began(document.get("_id")) or HOUR.began(document.get("_id"))
        into = None if began is None else found.get(floor(began, time.seconds))
        if into is not None:
            for counts in _counted(document):
                into.merge(counts)
    return [MetricPoint(counts, begins, time.seconds) for begins, counts in found.items()]


def _counted(document: Mapping[str, Any]) -> Iterator[Counts]:
    """Yields what a document counts: in its total, or in its series if it has been read for some of these."""
    if "total" in document:
        yield stored_counts(document["total"])
    else:
        yield from (counts for _, counts in stored_series(document))


def rows(documents: Iterable[Mapping[str, Any]], by: str) -> list[MetricRow]:
    """Returns a row for each `job` or `queue`, those with the most attempts first."""
    found: defaultdict[str, Counts] = defaultdict(Counts)
    for document in documents:
        for series, counts in stored_series(document):
            found[getattr(series, by)].merge(counts)
    ordered = sorted(found.items(), key=lambda item: (-item[1].attempts, item[0]))
    return [MetricRow(counts, name) for name, counts in ordered]


def stored_series(document: Mapping[str, Any]) -> Iterator[tuple[Series, Counts]]:
    """Yields the series of a stored document; leaves out what is none."""
    stored = document.get("series")
    entries: Iterable[Any] = (
        stored.values() if isinstance(stored, Mapping) else stored if isinstance(stored, list) else ()
    )
    for entry in entries:
        if isinstance(entry, Mapping) and is_text(entry.get("job")) and is_text(entry.get("queue")):
            yield Series(entry["job"], entry["queue"]), stored_counts(entry)


def stored_counts(entry: Any) -> Counts:
    """Returns the stored counts of one series; leaves out what is none."""
    counts = Counts()
    if isinstance(entry, Mapping):
        counts.outcomes |= {name: entry[name] for name in OUTCOMES if is_count(entry.get(name))}
        counts.wait = stored_histogram(entry.get("wait"), entry.get("wait_sum"))
        counts.run = stored_histogram(entry.get("run"), entry.get("run_sum"))
    return counts
