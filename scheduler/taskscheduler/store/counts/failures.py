"""Counts dead letters by the mistake that made them fail, up to a limit, by the keys of the index `failures`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database

from taskscheduler.model.control.keys import FAR
from taskscheduler.model.document import Document
from taskscheduler.model.failures import Failure
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.model.sound import is_text
from taskscheduler.store.client import durable
from taskscheduler.store.counts.shares import FIRST, share
from taskscheduler.store.job_lists import CAP
from taskscheduler.store.lenient_reads import each, undecoded

_FAILURES = "failures"

_EVER = datetime(1, 1, 1, tzinfo=UTC)

_TEXTS = {"job": "$class", "type": "$error.type", "place": "$error.place", "message": "$error.message"}

_AT_ONCE = 100  #: mistakes whose jobs one question counts


class FailureCounts:
    """Counts dead letters by mistake. The index `failures` has them in order, so no read looks at all of them.

    Raises the driver's errors.
    """

    def __init__(self, database: Database[Document], options: SchedulerOptions) -> None:
        self._jobs: Collection[Any] = undecoded(durable(database)[options.job_store])

    def newest(self, since: datetime | None, job: str | None, limit: int) -> list[Failure]:
        """Returns the `limit` mistakes that were seen last, of one class or all, the most frequent of them first.

        With `since`, only mistakes seen since then, and the count of those jobs alone. Of each it counts 200 jobs, and
        where there are more, CAP more of all these mistakes together, in equal parts.
        """
        since = since or _EVER
        newest = self._newest(since, job, limit)
        first, counts = self._first(list(newest)), self._counts(sorted(newest), since)
        rows = [_row(found, first, *counts[name]) for name, found in newest.items()]
        return sorted((row for row in rows if row.count), key=lambda row: (-row.count, row.fingerprint))

    def _newest(self, since: datetime, job: str | None, limit: int) -> dict[str, Document]:
        """Returns the last failure of each mistake: the server skips from one fingerprint to the next."""
        fields = {"last": "$ended", "example": "$_id", **_TEXTS}
        wanted: Document = {"last": {"$gte": since}, **({} if job is None else {"job": {"$eq": job}})}
        stages: list[Document] = [
            {"$match": {"fingerprint": {"$gt": ""}, "ended": _dates(_EVER)}},
            {"$sort": {"fingerprint": 1, "ended": -1}},
            {"$group": {"_id": "$fingerprint", **{name: {"$first": field} for name, field in fields.items()}}},
            {"$match": wanted},
            {"$sort": {"last": -1, "_id": 1}},
            {"$limit": limit},
        ]
        rows = each(self._jobs.aggregate(stages, hint=_FAILURES))
        return {row["_id"]: row for row in rows if is_text(row["_id"])}

    def _first(self, fingerprints: list[str]) -> dict[str, datetime]:
        stages: list[Document] = [
            {"$match": {"fingerprint": {"$in": fingerprints}, "ended": _dates(_EVER)}},
            {"$sort": {"fingerprint": -1, "ended": 1}},
            {"$group": {"_id": "$fingerprint", "first": {"$first": "$ended"}}},
        ]
        return {found["_id"]: found["first"] for found in each(self._jobs.aggregate(stages, hint=_FAILURES))}

    def _counts(self, names: Sequence[str], since: datetime) -> dict[str, tuple[int, bool]]:
        """Returns how many jobs failed by each of these mistakes, and whether all of them are counted."""
        counts = self._at_once(names, since)
        if sum(counts.values()) <= CAP:
            return {name: (counts.get(name, 0), True) for name in names}
        cut = max(counts)  # the keys are in the order of the names, so those before it are counted to their end
        rest = [name for name in names if name >= cut]
        counts |= self._each(rest, since, FIRST)
        longer, most = [name for name in rest if counts[name] > FIRST], FIRST
        if longer:
            most = share(len(longer))
            counts |= self._each(longer, since, most)
        return {name: (counts.get(name, 0), name not in longer or counts[name] <= most) for name in names}

    def _at_once(self, names: Sequence[str], since: datetime) -> dict[str, int]:
        """Returns the counts of the first CAP + 1 jobs in the order of the index."""
        stages: list[Document] = [
            {"$match": {"fingerprint": {"$in": names}, "ended": _dates(since)}},
            {"$sort": {"fingerprint": 1, "ended": -1}},
            {"$limit": CAP + 1},
            {"$group": {"_id": "$fingerprint", "jobs": {"$sum": 1}}},
        ]
        return _numbers(each(self._jobs.aggregate(stages, hint=_FAILURES))) if names else {}

    def _each(self, names: Sequence[str], since: datetime, most: int) -> dict[str, int]:
        """Returns the count of each of these mistakes, up to `most` + 1."""
        found: dict[str, int] = {}
        for start in range(0, len(names), _AT_ONCE):
            first, *others = [_counting(name, since, most) for name in names[start : start + _AT_ONCE]]
            more = [{"$unionWith": {"coll": self._jobs.name, "pipeline": other}} for other in others]
            found |= _numbers(each(self._jobs.aggregate([*first, *more], hint=_FAILURES)))
        return {**dict.fromkeys(names, 0), **found}


def _counting(name: str, since: datetime, most: int) -> list[Document]:
    """Returns the stages that count the jobs of a mistake, under its name."""
    return [
        {"$match": {"fingerprint": name, "ended": _dates(since)}},
        {"$limit": most + 1},
        {"$group": {"_id": {"$literal": name}, "jobs": {"$sum": 1}}},
    ]


def _numbers(found: Iterable[Document]) -> dict[str, int]:
    return {one["_id"]: int(one["jobs"]) for one in found}


def _dates(since: datetime) -> Document:
    return {"$gte": since, "$lte": FAR}


def _row(found: Mapping[str, Any], first: Mapping[str, datetime], count: int, is_complete: bool) -> Failure:
    texts = {name: found[name] if is_text(found.get(name)) else "" for name in _TEXTS}
    return Failure(
        fingerprint=found["_id"],
        job=texts["job"],
        type=texts["type"],
        place=texts["place"] or None,
        message=texts["message"],
        count=count,
        is_complete=is_complete,
        first=first.get(found["_id"], found["last"]),
        last=found["last"],
        example=found["example"],
    )
