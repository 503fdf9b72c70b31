"""The fencing token that names one attempt of one job, and the status filters of the transition table."""

from __future__ import annotations

from typing import NamedTuple

from bson import ObjectId

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import Status, Transition, sources


def from_statuses(transition: Transition) -> dict[str, list[int]]:
    """Returns the filter on `status` that the transition table demands for a transition."""
    return {"$in": sorted(int(status) for status in sources(transition))}


#: the hint for a write that names its jobs: else the server looks at each index before it does, for 10 to 25 us
BY_ID = "_id_"


class Fence(NamedTuple):
    """Names one attempt of one job so exactly that nobody else's write can match it."""

    job_id: ObjectId
    claim: str
    attempt: int

    def filter(self) -> Document:
        """Matches the job while this attempt runs."""
        return {"_id": self.job_id, "status": int(Status.PROCESSING), "claim": self.claim, "attempt": self.attempt}

    def named(self) -> Document:
        """Matches the job whatever its status, as long as no other attempt has begun."""
        return {"_id": self.job_id, "claim": self.claim, "attempt": self.attempt}


FENCE_FIELDS = {"claim": 1, "attempt": 1}
