"""Counts jobs by class or queue and status: all of them, or of many jobs some of each status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import FINAL, UNSUCCESSFUL, Status
from taskscheduler.model.sound import status_of
from taskscheduler.store.job_lists import COUNT_INDEX
from taskscheduler.store.lenient_reads import read

FEW = 50_000  #: jobs that are read to count them; 70 ms

MOST = 2000  #: of one status that are counted if there are more jobs


class NameCounts(NamedTuple):
    """How many jobs there are in each status, by a name."""

    found: dict[str, dict[Status, int]]
    cut: frozenset[Status] = frozenset()  #: in these there are more jobs, which are not counted


def count_all(jobs: Collection[Document], field: str) -> NameCounts:
    """Reads all jobs, and counts those of each value of a field that holds names."""
    stages: list[Document] = [{"$group": {"_id": {"name": f"${field}", "status": "$status"}, "count": {"$sum": 1}}}]
    entries = read(jobs, lambda jobs: jobs.aggregate(stages))
    return NameCounts(_named((entry["_id"], status_of(entry["_id"]), entry["count"]) for entry in entries))


def count_some(jobs: Collection[Document], field: str) -> NameCounts:
    """Does the same of FEW jobs; of more, it counts MOST of each status: of ended ones the newest."""
    if jobs.estimated_document_count() <= FEW:
        return count_all(jobs, field)
    of_status = {status: _some(jobs, field, status) for status in Status}
    entries = ((entry["_id"], status, entry["count"]) for status, found in of_status.items() for entry in found)
    numbers = {status: sum(entry["count"] for entry in found) for status, found in of_status.items()}
    return NameCounts(_named(entries), frozenset(status for status, number in numbers.items() if number > MOST))


def _some(jobs: Collection[Document], field: str, status: Status) -> list[Document]:
    newest: Document = {"$sort": {"_id" if status in UNSUCCESSFUL else "ended": -1}}
    stages: list[Document] = [
        {"$match": {"status": int(status)}},
        *([newest] if status in FINAL else []),
        {"$limit": MOST + 1},
        {"$group": {"_id": {"name": f"${field}"}, "count": {"$sum": 1}}},
    ]
    index = COUNT_INDEX.get(status, "unsuccessful")
    try:
        return read(jobs, lambda jobs: jobs.aggregate(stages, hint=index))
    except OperationFailure:  # the index is not there
        return read(jobs, lambda jobs: jobs.aggregate(stages))


def _named(entries: Iterable[tuple[Mapping[str, Any], Status, int]]) -> dict[str, dict[Status, int]]:
    found: dict[str, dict[Status, int]] = {}
    for group, status, number in entries:
        counts = found.setdefault(str(group.get("name", "")), dict.fromkeys(Status, 0))
        counts[status] = counts.get(status, 0) + number
    return dict(sorted(found.items()))
