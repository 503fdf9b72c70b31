"""Finds out why jobs wait that somebody waits for: no node serves their queue, or none knows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bson import ObjectId

from taskscheduler.model.control.known import why_unserved
from taskscheduler.model.lifecycle import Status
from taskscheduler.store import Store

PATIENCE = 2.0  #: seconds of waiting before anybody looks

_MOST = 100  #: jobs that are looked at


def reasons(store: Store, job_ids: Iterable[ObjectId]) -> Sequence[str]:
    """Returns why none of the nodes that are up runs these jobs, each reason once; none for jobs that do not wait."""
    waiting = store.jobs.places_of(list(job_ids)[:_MOST], Status.WAITING)
    if not waiting:
        return []
    nodes = store.nodes.all()
    found = (why_unserved(nodes, queue, name) for queue, name in waiting)
    return sorted({reason for reason in found if reason is not None})
