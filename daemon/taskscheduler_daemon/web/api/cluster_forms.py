"""What the web service of the cluster answers: counts, queues, nodes, services, failures and pauses."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from taskscheduler_daemon.web.api.job_forms import LONGEST_REASON, Form, Moment
from taskscheduler_daemon.web.api.schedule_forms import Date


class Counts(BaseModel):
    """How many jobs are in each status."""

    waiting: int
    postponed: int
    processing: int
    done: int
    failed: int
    canceled: int
    timeout: int


class CappedCounts(BaseModel):
    """Counts that end somewhere."""

    jobs: Counts
    capped_at: int = Field(description="a greater count means: more than that")


class QueueRecord(BaseModel):
    """A queue in which jobs wait."""

    name: str
    waiting: int = Field(description="up to 10 001; fewer if many queues have many jobs")
    is_complete: bool = Field(description="false if more jobs wait than were counted")
    oldest_seconds: float = Field(description="how long the first of them has been due")
    paused: bool


class NodeRecord(BaseModel):
    """A node of the last day."""

    name: str
    host: str
    version: str
    state: Literal["up", "draining", "silent", "lost"]
    queues: list[str] = Field(description="those that it serves; none: all")
    running: int
    free: int
    total: int = Field(description="its slots")
    workers: int
    silent_seconds: float = Field(description="since its last heartbeat")
    ended: dict[str, int] = Field(description="its attempts since its start, by their end")


class Drained(BaseModel):
    """Nodes that drain."""

    draining: int = Field(description="how many nodes have this name")


class ClusterStatus(CappedCounts):
    """The cluster in numbers."""

    queues: list[QueueRecord]
    nodes: list[NodeRecord]
    slots: dict[str, int] = Field(description="of all nodes that are up: running, free, total")
    next_due_seconds: float | None = Field(description="until the next postponed job is due")
    paused: int = Field(description="how many pauses there are")


class FailureRecord(BaseModel):
    """All jobs that failed by one mistake."""

    fingerprint: str
    job: str
    type: str
    place: str | None = Field(description="line of the job's own code")
    message: str
    count: int = Field(description="up to 10 001; fewer if many mistakes have many jobs")
    is_complete: bool = Field(description="false if more jobs failed by it than were counted")
    first: Date
    last: Date
    example: str = Field(description="id of the job that failed last")


class PauseRecord(BaseModel):
    """A pause of everything, a queue, a class or a tag."""

    key: str
    kind: Literal["all", "queue", "job", "tag"]
    name: str | None
    reason: str | None
    until: Date | None
    by: str | None
    at: Date | None


class NewPause(Form):
    """The body of a pause: of one queue, class or tag, or of everything."""

    queue: str | None = None
    job: str | None = Field(None, description="the registered name of a class")
    tag: str | None = None
    reason: str | None = Field(None, max_length=LONGEST_REASON)
    until: Moment | None = Field(None, description="a date, or seconds from now")
