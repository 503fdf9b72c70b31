"""Tells how the status of one job changed, from the log of status changes."""

from __future__ import annotations

from bson import ObjectId

from taskscheduler.model.lifecycle import Status
from taskscheduler.store import Store
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.event_log import StatusChange

#: statuses that an attempt may end in; WAITING is not among them, since an unstarted attempt may be claimed once more
_ENDED = frozenset(Status) - {Status.PROCESSING, Status.WAITING}


def history(store: Store, job_id: ObjectId, limit: int = 100) -> list[StatusChange]:
    """Returns the newest status changes of a job, oldest first.

    The log is capped and may be overwritten or dropped at any time: this is what is left of it, perhaps nothing. How a
    job was added is not logged; see its `created`. A deleted job may still have a history. Raises DatabaseError.
    """
    with translated():
        return in_order(store.events.of_job(job_id, limit))


def in_order(logged: list[StatusChange]) -> list[StatusChange]:
    """Puts the start of each attempt before its end; different threads log them, so a quick end may be logged first."""
    ordered: list[StatusChange] = []
    for change in logged:
        place = len(ordered)
        if change.status is Status.PROCESSING:
            while place and ordered[place - 1].attempt == change.attempt and ordered[place - 1].status in _ENDED:
                place -= 1
        ordered.insert(place, change)
    return ordered
