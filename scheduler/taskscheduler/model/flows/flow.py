"""A stored flow: its statuses, and its document when it is added."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bson import ObjectId

RUNNING, DONE, FAILED, CANCELED = "running", "done", "failed", "canceled"

FLOW_STATUSES = (RUNNING, DONE, FAILED, CANCELED)


def new_flow(flow_id: ObjectId, name: str, total: int, now: datetime) -> dict[str, Any]:
    """Returns the document of a flow of so many jobs that is added at `now`, in the server's time."""
    return {"_id": flow_id, "name": name, "status": RUNNING, "total": total, "created": now}
