"""What the web service of limits, groups, sequences and reasons takes and answers, for its description."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from taskscheduler_daemon.web.api.schedule_forms import Date

Id = str


class NewLimit(BaseModel):
    """The body of `PUT /api/v1/limits/{name}`: places, a rate or both."""

    model_config = ConfigDict(extra="forbid")

    concurrency: int | None = Field(None, description="so many jobs run at the same time at most; 0: none starts")
    rate: float | None = Field(None, description="so many jobs start in `per` seconds")
    per: float | None = Field(None, description="seconds; 1 if it is left out")
    burst: int | None = Field(None, description="so many may start at once after a rest; 1 if it is left out")


class HolderRecord(BaseModel):
    """A job that holds a place."""

    id: Id
    job: str
    name: str = Field(description="the name that the job is under, if the limit stands for many")
    state: str
    since: Date | None
    node: str | None


class LimitRecord(BaseModel):
    """A limit, as `taskscheduler limits -o json` prints it."""

    name: str
    concurrency: int | None
    rate: float | None
    per: float | None
    burst: int | None
    taken: int
    waiting: int
    holders: list[HolderRecord]
    by: str | None
    at: Date | None


class NewGroup(BaseModel):
    """The body of `PUT /api/v1/groups/{name}`."""

    model_config = ConfigDict(extra="forbid")

    weight: float = Field(description="so many turns while a group of weight 1 gets one; 0.01 to 1000")


class GroupRecord(BaseModel):
    """A group, as `taskscheduler groups -o json` prints it."""

    name: str
    weight: float
    waiting: int
    by: str | None
    at: Date | None


class ReasonRecord(BaseModel):
    """A reason, as `taskscheduler why ID -o json` prints it."""

    code: str
    text: str = Field(description="for people")
    facts: dict[str, Any] = Field(description="what the text says, such as the name of a limit")


class BlockedRecord(BaseModel):
    """A blocked sequence, as `taskscheduler sequences -o json` prints it."""

    key: str
    id: Id
    job: str
    state: str
    ended: Date | None
    error: dict[str, Any] | None
    waiting: int
