"""Folds the hours of past days into one document for each day, so that 90 days are read in 90 documents.

Any node may fold a day, and several may do it at once: each makes the same document from the same hours, and its id
lets one of them in. The hours stay as long as before: whoever finds no document of a day reads its hours.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from taskscheduler.model.document import Document
from taskscheduler.model.metrics.counts import Counts, Room, Series
from taskscheduler.model.metrics.points import counted, stored_series
from taskscheduler.model.metrics.steps import DAY, FOLDED_AFTER, HOUR, Span
from taskscheduler.model.metrics.sums import StoredSum
from taskscheduler.store.lenient_reads import read
from taskscheduler.store.metrics.stored import numbers, series_key, within


def days_of(documents: list[Document]) -> list[datetime]:
    """Returns when the days of these documents begin."""
    return [begins for document in documents if (begins := DAY.began(document["_id"])) is not None]


def fold_a_day(stored: Collection[Document], now: datetime) -> bool:
    """Folds the oldest past day that is not folded yet; returns whether there was one. Raises the driver's errors."""
    past = Span(HOUR, DAY.begins(now - HOUR.kept), DAY.begins(now - FOLDED_AFTER))
    folded = days_of(read(stored, lambda metrics: metrics.find(within([past.days]), {"_id": 1})))
    left = past.without(folded)
    if not left:
        return False
    hours = read(stored, lambda metrics: metrics.find(within(left), {"_id": 1}).sort("_id", 1).limit(1))
    began = HOUR.began(hours[0]["_id"]) if hours else None
    if began is None:
        return False
    begins = DAY.begins(began)
    day = Span(HOUR, begins, begins + timedelta(seconds=DAY.seconds))
    try:
        stored.insert_one(_folded(begins, read(stored, lambda metrics: metrics.find(within([day])))))
    except DuplicateKeyError:  # another node was faster
        pass
    return True


def _folded(begins: datetime, hours: list[Document]) -> Document:
    """Returns the document of a day. It tells as many series apart as an hour does, those with the most attempts."""
    total, sums = StoredSum(), defaultdict[Series, StoredSum](StoredSum)
    for hour in hours:
        for entry in counted(hour):
            total.add(entry)
        for series, entry in stored_series(hour):
            sums[series].add(entry)
    placed, room = defaultdict[Series, Counts](Counts), Room()
    counts = {series: found.counts() for series, found in sums.items()}
    for series in sorted(counts, key=lambda one: (-counts[one].attempts, one)):
        placed[room.place(series)].merge(counts[series])
    fields = {series_key(one): {**_nested(found), "job": one.job, "queue": one.queue} for one, found in placed.items()}
    return {"_id": DAY.key(begins), "expires": DAY.expires(begins), "total": _nested(total.counts()), "series": fields}


def _nested(counts: Counts) -> Document:
    """Returns counts as hours have them, with `wait` and `run` as documents."""
    found: Document = {}
    for name, number in numbers(counts):
        field, _, bucket = name.partition(".")
        if bucket:
            found.setdefault(field, {})[bucket] = number
        else:
            found[field] = number
    return found
