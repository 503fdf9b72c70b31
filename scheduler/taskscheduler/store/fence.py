"""Fence: the fencing token that names one attempt of one job."""

from __future__ import annotations

from typing import NamedTuple

from bson import ObjectId

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status, Transition, sources


def from_statuses(move: Transition) -> dict[str, list[int]]:
    """The filter on `status` that the transition table demands for a move."""
    return {"$in": sorted(int(status) for status in sources(move))}


class Fence(NamedTuple):
    """Names one attempt of one job so exactly that nobody else's write can match it."""

    job_id: ObjectId
    claim: str
    attempt: int

    def filter(self) -> Document:
        return {"_id": self.job_id, "status": int(Status.PROCESSING), "claim": self.claim, "attempt": self.attempt}

    def named(self) -> Document:
        """The same attempt whatever has become of it."""
        return {"_id": self.job_id, "claim": self.claim, "attempt": self.attempt}


FENCE_FIELDS = {"claim": 1, "attempt": 1}
