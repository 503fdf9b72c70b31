"""What the web service of schedules takes and answers, for its description."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Texts = str | list[str]
Date = Annotated[str, Field(description="ISO 8601 in UTC, such as 2027-06-01T00:00:00.000Z")]
_Moment = Annotated[str, Field(description="a date with a time zone, such as 2027-06-01T00:00:00Z")]


class NewSchedule(BaseModel):
    """The body of `PUT /api/v1/schedules/{name}`: a job, when it runs, and any option of its runs."""

    model_config = ConfigDict(extra="allow")

    job: str = Field(min_length=1, description="the registered name of a job; others are refused")
    data: Any = None
    cron: Texts | None = Field(None, description="one cron expression, or several")
    every: float | None = Field(None, description="seconds between two runs")
    rrule: str | None = Field(None, description="a recurrence rule of RFC 5545")
    timezone: str = Field("UTC", description="an IANA name")
    seconds: bool = Field(False, description="whether cron expressions may have six fields, the seconds first")
    exclude: Texts | None = Field(None, description="cron expressions, or dates, on which it does not run")
    start: _Moment | None = None
    end: _Moment | None = None
    runs: int | None = Field(None, description="how many runs at most")
    jitter: float = Field(0, description="seconds; a run starts up to so much later")
    overlap: Literal["skip", "buffer_one", "buffer_all", "cancel_other", "allow"] = "skip"
    missed: Literal["latest", "all", "skip"] = "latest"
    missed_window: float = Field(86_400, description="seconds; older runs are never made up for")


class Pause(BaseModel):
    """The body of a pause, which may also be empty."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(None, max_length=500, description="everybody sees it")


class ScheduleRecord(BaseModel):
    """A schedule, as `taskscheduler schedule list -o json` prints it."""

    name: str
    job: str
    state: Literal["active", "paused", "undeclared", "over", "unreadable"]
    in_words: str
    times: dict[str, Any] = Field(description="its options that differ from their defaults")
    owner: str = Field(description="database or code")
    reason: str | None = Field(description="why it is paused")
    fault: str | None = Field(description="why it is unreadable")
    next_at: Date | None
    last_at: Date | None
    last_id: str | None
    last_state: str | None
    runs_made: int
    skipped: int


class NextTime(BaseModel):
    """A time at which a schedule runs."""

    at: Date
    local: str = Field(description="as the clocks of its time zone show it")
    clocks_change: bool = Field(description="whether they change on that day")
