"""A stored flow: its statuses, and its document when it is added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId

from taskscheduler.model.sound import status_of

RUNNING, DONE, FAILED, CANCELED = "running", "done", "failed", "canceled"

FLOW_STATUSES = (RUNNING, DONE, FAILED, CANCELED)


def with_counts(flow: Mapping[str, Any], jobs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the document of a flow with how many of its jobs are in which status."""
    return {**flow, "counts": dict(Counter(status_of(job).label for job in jobs))}


def new_flow(flow_id: ObjectId, name: str, total: int, now: datetime) -> dict[str, Any]:
    """Returns the document of a flow of so many jobs that is added at `now`, in the server's time."""
    return {"_id": flow_id, "name": name, "status": RUNNING, "total": total, "created": now}
