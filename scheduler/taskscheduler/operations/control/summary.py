"""Counts live jobs by why they do not run: from counts by index, whatever the number of jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from taskscheduler.model.control.pauses import Pause
from taskscheduler.model.control.reasons import Code
from taskscheduler.model.control.summary import by_code, capped, queues_by_code
from taskscheduler.model.lifecycle import Status
from taskscheduler.store import Store
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler.store.overview import ClusterOverview


def summary(store: Store) -> dict[Code, int]:
    """Returns how many live jobs there are for each reason, 1001 at most for each; those of no reason are left out.

    Waiting jobs of a class that no node knows count as SLOTS: only `why` of a job looks at its class.
    """
    nodes, pauses = store.nodes.all(), store.controls.current().at(store.clock.now()).pauses
    found = store.queue_places.live(queues_by_code(store.claims.queues(), nodes, pauses))
    return capped(by_code(found.parked, {}, nodes, pauses) + Counter(found.others))


def kept_back(
    overview: ClusterOverview,
    counts: Mapping[Status, int],
    backlogs: Iterable[Backlog],
    nodes: Sequence[Mapping[str, Any]],
    pauses: Iterable[Pause],
) -> dict[Code, int]:
    """Returns how many due jobs do not wait for a slot alone, for each reason, from what an overview has read.

    It reads no more than that unless some jobs are postponed.
    """
    parked = overview.parked() if counts[Status.POSTPONED] else {}
    held = by_code(parked, {one.queue: one.waiting for one in backlogs}, nodes, pauses)
    del held[Code.SLOTS]
    return capped(held)
