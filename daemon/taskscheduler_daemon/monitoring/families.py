"""The families of metrics: their names, types, labels and meanings. The reference is checked against this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from taskscheduler.model.metrics.histogram import Histogram

PREFIX = "taskscheduler_"

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """Metrics of one name. That of a counter gets `_total` in what Prometheus reads."""

    name: str  #: without the prefix
    kind: str
    labels: tuple[str, ...]
    text: str

    @property
    def full_name(self) -> str:
        """The name as Prometheus knows it."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == COUNTER else ''}"


#: what a node has counted since it was started, and its own state
OF_A_NODE = (
    Family("jobs_finished", COUNTER, ("job", "queue", "status"), "Jobs that ended on this node."),
    Family("job_retries", COUNTER, ("job", "queue"), "Attempts that failed and after which the job is queued again."),
    Family("jobs_lost", COUNTER, ("cause",), "Attempts that were lost with their worker or their node."),
    Family("job_wait_seconds", HISTOGRAM, ("job", "queue"), "Time from when an attempt was due until it began."),
    Family("job_duration_seconds", HISTOGRAM, ("job", "queue"), "Time that an attempt ran."),
    Family("workers", GAUGE, ("node", "state"), "Workers of this node, idle and busy."),
    Family("workers_max", GAUGE, ("node",), "Jobs that this node can run at once."),
    Family("worker_spawns", COUNTER, ("node",), "Workers that this node has started."),
    Family("worker_exits", COUNTER, ("node", "reason"), "Workers of this node that have ended."),
)

#: the state of the whole cluster, which every node and the web process read from the database: take the maximum
OF_THE_CLUSTER = (
    Family("database_up", GAUGE, (), "Whether the database answers; 0: the values of the cluster are missing."),
    Family("jobs", GAUGE, ("status", "queue"), "Jobs, up to 10001 of each; by queue only those that wait for a slot."),
    Family("oldest_waiting_seconds", GAUGE, ("queue",), "Time since the first of the waiting jobs was due."),
    Family("blocked_jobs", GAUGE, ("reason",), "Due jobs that wait for more than a slot, up to 1001 of each reason."),
    Family("schedule_lateness_seconds", GAUGE, (), "Time by which the next run of a schedule is late; 0: none is."),
    Family("nodes", GAUGE, ("state",), "Nodes of the last day."),
    Family("node_heartbeat_age_seconds", GAUGE, ("node",), "Time since the last heartbeat of a node."),
    Family("paused", GAUGE, ("scope",), "Pauses that hold now, by what they pause."),
)

OF_A_PROCESS = (Family("build_info", GAUGE, ("version",), "The version of taskscheduler; always 1."),)

FAMILIES = {family.name: family for family in (*OF_A_NODE, *OF_THE_CLUSTER, *OF_A_PROCESS)}


class Value(NamedTuple):
    """One value of a family, with its labels in their order."""

    name: str
    labels: tuple[str, ...]
    value: float | Histogram
