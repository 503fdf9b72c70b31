"""The form in which counts are stored: the fields of documents, and the ids of the documents of a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from taskscheduler.model.document import Document
from taskscheduler.model.metrics.counts import Counts, Series
from taskscheduler.model.metrics.steps import Span


def series_key(series: Series) -> str:
    """Returns the field of a series: names of classes and queues may hold anything, so they are no names of fields."""
    return hashlib.blake2b("\0".join(series).encode(), digest_size=8).hexdigest()


def numbers(counts: Counts) -> Iterator[tuple[str, int | float]]:
    """Yields what was counted, by the names of fields; nothing for zeros."""
    yield from ((name, count) for name, count in counts.outcomes.items() if count)
    for name, histogram in (("wait", counts.wait), ("run", counts.run)):
        if histogram.count:
            yield f"{name}_sum", histogram.sum
            yield from ((f"{name}.{number}", count) for number, count in enumerate(histogram.buckets) if count)


def within(spans: Iterable[Span]) -> Document:
    """Matches the documents of these spans."""
    return {"$or": [{"_id": {"$gte": step.key(since), "$lt": step.key(until)}} for step, since, until in spans]}
