"""What nodes have counted: one document for each minute, hour and past day of the whole cluster.

    {_id: "minute 2026-11-30T02:10", expires, total: {…}, series: {<key>: {job, queue, …}}, stored: {<boot>: <number>}}

`…` stands for the outcomes with their counts, `wait` and `run` with counts by the numbers of buckets, `wait_sum` and
`run_sum`. A node adds each portion of what it has counted to the minute and to the hour, in one command. The hour is so
complete at any time, and nobody has to fold minutes. The hours of past days are folded, see `days`.

A portion has a number, which the same update notes for the node: an update that is repeated after an uncertain answer
finds its number there and changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from taskscheduler.model.document import Document
from taskscheduler.model.metrics.counts import Room
from taskscheduler.model.metrics.points import series_sums, stored_series
from taskscheduler.model.metrics.steps import HOUR, MINUTE, Span, divided, joined
from taskscheduler.model.metrics.tally import Portion
from taskscheduler.model.options import METRICS
from taskscheduler.store.lenient_reads import read, undecoded
from taskscheduler.store.metrics.days import days_of, fold_a_day
from taskscheduler.store.metrics.kept_sums import KeptSums, Sums
from taskscheduler.store.metrics.stored import numbers, series_key, within
from taskscheduler.store.schema import ensure_metrics

_DUPLICATE_KEY = 11000

_MOST_TIME_MS = 5_000

_GROWS_FOR = timedelta(minutes=1)  #: after its end nodes have stored most of what belongs to an hour


class MetricsStore:
    """Adds portions to what is stored, and reads it."""

    def __init__(self, database: Database[Document]) -> None:
        self._collection: Collection[Document] = database[METRICS]
        self._kept = KeptSums()
        self._ensured = False

    def room(self, hour: datetime) -> Room:
        """Returns the series that are told apart in an hour."""
        names = {"$map": {"input": _entries("$series"), "in": {"job": "$$this.v.job", "queue": "$$this.v.queue"}}}
        stages: list[Document] = [{"$match": {"_id": HOUR.key(hour)}}, {"$project": {"series": names}}]
        found = read(self._collection, lambda metrics: metrics.aggregate(stages))
        return Room(series for document in found for series, _ in stored_series(document))

    def add(self, boot: ObjectId, portion: Portion) -> None:
        """Adds what a node has counted to its minute and its hour, unless that has been done.

        A node adds its portions in their order, and repeats each until this has returned.
        """
        if not self._ensured:
            ensure_metrics(self._collection.database)
            self._ensured = True
        change, lacks_it = _change(boot, portion), {f"stored.{boot}": {"$not": {"$gte": portion.number}}}
        updates = [
            ({"_id": step.key(begins), **lacks_it}, {**change, "$setOnInsert": {"expires": step.expires(begins)}})
            for step, begins in ((MINUTE, portion.minute), (HOUR, portion.hour))
        ]
        try:
            self._collection.bulk_write([UpdateOne(*update, upsert=True) for update in updates], ordered=False)
        except BulkWriteError as error:
            if not _are_there(error):
                raise
            # the documents are: they have this portion already, or another node has inserted them just now
            self._collection.bulk_write([UpdateOne(*update) for update in updates], ordered=False)

    def fold_a_day(self, now: datetime) -> bool:
        """Folds the hours of the oldest past day that is not folded; returns whether there was such a day."""
        return fold_a_day(self._collection, now)

    def folded(self, span: Span) -> list[Span]:
        """Returns spans that are about the same time: with days where these are folded, else with hours."""
        fields, days = {"_id": 1}, span.days
        if span.step is not HOUR or days.since >= days.until:
            return [span]
        query = within([days])
        found = days_of(read(self._collection, lambda metrics: metrics.find(query, fields, max_time_ms=_MOST_TIME_MS)))
        return [*joined(found), *span.without(found)]

    def read_totals(self, spans: Sequence[Span]) -> list[Document]:
        """Returns the totals of the steps in these spans."""
        return self._find(spans, {"total": 1})

    def read_series(self, spans: Sequence[Span], job: str | None = None, queue: str | None = None) -> list[Document]:
        """Returns the series of the steps in these spans: of one class, of one queue, or all."""
        wanted = {name: value for name, value in (("job", job), ("queue", queue)) if value is not None}
        if not wanted:
            return self._find(spans, {"series": 1})
        are_wanted = [{"$eq": [f"$$this.v.{name}", {"$literal": value}]} for name, value in wanted.items()]
        found = {"$filter": {"input": _entries("$series"), "cond": {"$and": are_wanted}}}
        series = {"$map": {"input": found, "in": "$$this.v"}}
        stages: list[Document] = [{"$match": within(spans)}, {"$project": {"series": series}}]
        return read(self._collection, lambda metrics: metrics.aggregate(stages, maxTimeMS=_MOST_TIME_MS))

    def sums(
        self, spans: Sequence[Span], now: datetime, job: str | None = None, queue: str | None = None
    ) -> list[Sums]:
        """Returns the sums of the series in these spans, in parts: those of hours that are over are kept."""
        past, late = divided(spans, HOUR.begins(now - _GROWS_FOR))
        found: list[Sums] = [self._past_sums(past, job, queue)] if past else []
        return [*found, series_sums(self.read_series(late, job, queue))] if late else found

    def _past_sums(self, spans: Sequence[Span], job: str | None, queue: str | None) -> Sums:
        key, totals = (*spans, job, queue), self._totals(spans)
        sums = self._kept.get(key, totals)
        if sums is None:  # the totals were read first: if a node adds something now, they are other ones next time
            sums = series_sums(self.read_series(spans, job, queue))
            self._kept.put(key, totals, sums)
        return sums

    def _totals(self, spans: Sequence[Span]) -> bytes:
        """Returns what is another value if any of the totals is."""
        found = undecoded(self._collection).find(within(spans), {"total": 1}, max_time_ms=_MOST_TIME_MS)
        return hashlib.blake2b(b"".join(sorted(bytes(one.raw) for one in found))).digest()

    def _find(self, spans: Sequence[Span], fields: Mapping[str, Any]) -> list[Document]:
        query = within(spans)
        return read(self._collection, lambda metrics: metrics.find(query, fields, max_time_ms=_MOST_TIME_MS))


def _entries(field: str) -> Document:
    """Returns an expression for the names and values in a field, also if it holds something else."""
    return {"$objectToArray": {"$cond": [{"$eq": [{"$type": field}, "object"]}, field, {}]}}


def _are_there(error: BulkWriteError) -> bool:
    """Whether nothing but documents that are there already kept a portion from being added."""
    details = error.details or {}
    faults = details.get("writeErrors", [])
    return not details.get("writeConcernErrors") and all(fault.get("code") == _DUPLICATE_KEY for fault in faults)


def _change(boot: ObjectId, portion: Portion) -> Document:
    """Returns the update that adds a portion and notes its number."""
    names: Document = {f"stored.{boot}": portion.number}
    counted: Document = {f"total.{name}": count for name, count in numbers(portion.total)}
    for series, counts in portion.series.items():
        place = f"series.{series_key(series)}"
        names |= {f"{place}.job": series.job, f"{place}.queue": series.queue}
        counted |= {f"{place}.{name}": count for name, count in numbers(counts)}
    return {"$inc": counted, "$set": names}
