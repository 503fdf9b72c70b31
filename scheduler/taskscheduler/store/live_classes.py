"""Finds the classes of live jobs: the server skips from one to the next in the index, and reads no job."""

from __future__ import annotations

from typing import Any

from pymongo.collection import Collection
from pymongo.errors import ExecutionTimeout

from taskscheduler.model.document import Document
from taskscheduler.store.lenient_reads import each

MOST_CLASSES = 100

_QUICK_MS = 200  #: it cannot skip once somebody has stored a list as the class of a job


def live_classes(jobs: Collection[Any]) -> list[str] | None:
    """Returns the classes of live jobs in an undecoded collection, MOST_CLASSES + 1 at most.

    None if one of them is no text, or if finding them takes too long.
    """
    stages: list[Document] = [
        {"$sort": {"class": 1, "_id": 1}},
        {"$group": {"_id": "$class"}},
        {"$limit": MOST_CLASSES + 1},
    ]
    try:
        found = [one["_id"] for one in each(jobs.aggregate(stages, hint="live_list", maxTimeMS=_QUICK_MS))]
    except ExecutionTimeout:
        return None
    return sorted(found) if all(type(name) is str for name in found) else None
