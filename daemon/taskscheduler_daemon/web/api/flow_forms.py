"""What the web service of flows takes and answers, for its description."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from taskscheduler_daemon.web.api.schedule_forms import Date

Id = str


class FlowReason(BaseModel):
    """The body of a cancellation or a retry, which may also be empty."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(None, max_length=500, description="it is stored in the jobs")


class FlowRecord(BaseModel):
    """A flow, as `taskscheduler flow list -o json` prints it."""

    id: Id
    name: str
    status: Literal["running", "done", "failed", "canceled"]
    progress: float = Field(description="how many of its jobs have ended, in percent")
    total: int = Field(description="how many jobs it has")
    counts: dict[str, int] = Field(description="how many jobs are in which status; one of no job is left out")
    created: Date | None
    ended: Date | None
    reason: str | None = Field(description="why somebody has cancelled it")


class FlowJob(BaseModel):
    """A job of a flow, without its data and result."""

    id: Id
    label: str = Field(description="its name in the flow")
    job: str | None = Field(description="the registered name of its class")
    state: str
    layer: int = Field(description="how many jobs at most come one after another before it")
    after: list[Id] = Field(description="the jobs that it comes after, 10 at most")
    after_count: int = Field(description="how many those are")
    on_failure: Literal["cancel", "run", "skip"]
    started: Date | None
    ended: Date | None
    node: str | None
    attempt: int | None
    progress: float | None
    message: str | None
    error: dict[str, Any] | None
    reason: str | None


class FlowDetails(FlowRecord):
    """A flow, as `taskscheduler flow show ID -o json` prints it."""

    depth: int = Field(description="how many jobs at most come one after another")
    failed: list[FlowJob] = Field(description="the jobs that failed or timed out, 20 at most")


class RetriedFlow(FlowRecord):
    """A flow of which failed jobs were put back in the queue."""

    retried: int = Field(description="how many jobs run again")
