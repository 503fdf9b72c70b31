"""Points of a chart: what was counted in each step of time, read from stored documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from taskscheduler.model.metrics.counts import Counts, Series
from taskscheduler.model.metrics.histogram import Histogram
from taskscheduler.model.metrics.steps import DAY, HOUR, MINUTE, Range, floor
from taskscheduler.model.metrics.sums import StoredSum
from taskscheduler.model.sound import is_text


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
    found = {begins: StoredSum() for begins in time.begins()}
    for document in documents:
        began = next(filter(None, (step.began(document.get("_id")) for step in (MINUTE, HOUR, DAY))), None)
        into = None if began is None else found.get(floor(began, time.seconds))
        if into is not None:
            for entry in counted(document):
                into.add(entry)
    return [MetricPoint(total.counts(), begins, time.seconds) for begins, total in found.items()]


def counted(document: Mapping[str, Any]) -> Iterator[Any]:
    """Yields what a document counts: its total, or its series if it has been read for some of these."""
    if "total" in document:
        yield document["total"]
    else:
        yield from (entry for _, entry in stored_series(document))


def series_sums(documents: Iterable[Mapping[str, Any]]) -> dict[Series, StoredSum]:
    """Returns what was counted of each series in these documents."""
    found: defaultdict[Series, StoredSum] = defaultdict(StoredSum)
    for document in documents:
        for series, entry in stored_series(document):
            found[series].add(entry)
    return found


def rows(parts: Iterable[Mapping[Series, StoredSum]], by: Sequence[str]) -> dict[str, list[MetricRow]]:
    """Returns a row for each `job` or `queue`, or both, those with the most attempts first."""
    found: dict[str, defaultdict[str, StoredSum]] = {field: defaultdict(StoredSum) for field in by}
    for part in parts:
        for series, total in part.items():
            for field, sums in found.items():
                sums[getattr(series, field)].merge(total)
    return {field: _ordered(sums) for field, sums in found.items()}


def _ordered(sums: Mapping[str, StoredSum]) -> list[MetricRow]:
    found = [MetricRow(total.counts(), name) for name, total in sums.items()]
    return sorted(found, key=lambda row: (-row.counts.attempts, row.name))


def stored_series(document: Mapping[str, Any]) -> Iterator[tuple[Series, dict[str, Any]]]:
    """Yields the series of a stored document, each with its counts; leaves out what is none."""
    stored = document.get("series")
    entries: Iterable[Any] = stored.values() if isinstance(stored, dict) else stored if isinstance(stored, list) else ()
    for entry in entries:
        if isinstance(entry, dict) and is_text(entry.get("job")) and is_text(entry.get("queue")):
            yield Series(entry["job"], entry["queue"]), entry
