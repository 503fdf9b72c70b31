"""Lists the sequences that a failed job blocks, and releases them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId

from taskscheduler.model.control.keys import SEQUENCE, key
from taskscheduler.model.lifecycle import Status
from taskscheduler.model.sound import sound, status_of
from taskscheduler.store import Store
from taskscheduler.store.control.sequences import MOST_LISTED


@dataclass(frozen=True, slots=True)
class BlockedSequence:
    """A sequence that waits until somebody retries, deletes or releases the job that has failed."""

    key: str
    job: ObjectId  #: the id of the job that has failed
    job_class: str
    status: Status
    ended: datetime | None
    error: Mapping[str, Any] | None
    waiting: int  #: how many jobs wait behind it, 1000 at most


def blocked_sequences(store: Store, most: int = MOST_LISTED) -> list[BlockedSequence]:
    """Returns the blocked sequences by their keys, so many at most."""
    jobs = [job for job in store.sequences.blocked(most) if sound(job, "sequence") is not None]
    waiting = store.sequences.waiting([job["sequence"] for job in jobs])
    return [_blocked(job, waiting[job["sequence"]]) for job in jobs]


def _blocked(job: Mapping[str, Any], waiting: int) -> BlockedSequence:
    ended, error = sound(job, "ended"), sound(job, "error")
    return BlockedSequence(job["sequence"], job["_id"], sound(job, "class", ""), status_of(job), ended, error, waiting)


def release_sequence(store: Store, name: str) -> bool:
    """Lets the next job of a sequence pass the one that has failed; returns whether one was in the way."""
    job = store.sequences.blocking(name)
    released = job is not None and store.sequences.release(job["_id"])
    store.admission.admit_next([key(SEQUENCE, name)])
    return released
