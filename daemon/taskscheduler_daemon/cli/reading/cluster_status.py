"""ClusterStatus: the server, nodes, workers, queues and counts, as `taskscheduler status` and assistants show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from taskscheduler.model.control.known import UnknownClass
from taskscheduler.model.control.pauses import Pause
from taskscheduler.model.control.reasons import Code
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.control.known import unknown_classes
from taskscheduler.operations.control.summary import kept_back
from taskscheduler.store.counts.backlogs import Backlog
from taskscheduler.store.overview import Server
from taskscheduler_daemon.cli.database import DatabaseView
from taskscheduler_daemon.presentation.node import node_record
from taskscheduler_daemon.presentation.pause import record
from taskscheduler_daemon.presentation.reason import summary_record
from taskscheduler_daemon.presentation.running import as_of_now, boots_of


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """Everything on the screen."""

    database: str
    server: Server
    nodes: Sequence[Mapping[str, Any]]
    counts: Mapping[Status, int]
    queues: Sequence[Backlog]
    next_due: float | None
    pauses: Sequence[Pause]
    unknown: Sequence[UnknownClass]
    why: Mapping[Code, int]  #: how many due jobs something keeps back
    jobs: Mapping[Any, Mapping[str, Any]]  #: the jobs that run now

    @classmethod
    def read(cls, view: DatabaseView) -> ClusterStatus:
        """Reads it from a database."""
        overview = view.overview
        nodes, queues, pauses = overview.nodes(), overview.backlogs(), overview.pauses()
        counts = overview.counts(backlogs=queues)
        running = view.job_lists.running_on(boots_of(nodes))
        return cls(
            overview.name,
            overview.server(),
            as_of_now(nodes, running),
            counts,
            queues,
            overview.next_due(),
            pauses,
            unknown_classes(overview, nodes),
            kept_back(overview, counts, queues, nodes, pauses),
            {job["_id"]: job for job in running},
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns it for JSON."""
        return {
            "database": self.database,
            "server": asdict(self.server),
            "nodes": [node_record(node) for node in self.nodes],
            "jobs": {status.label: number for status, number in self.counts.items()},
            "queues": [asdict(queue) for queue in self.queues],
            "next_due": self.next_due,
            "pauses": [record(pause) for pause in self.pauses],
            "unknown": [one._asdict() for one in self.unknown],
            "why": summary_record(self.why),
        }
