"""What the web service of jobs takes and answers, for its description."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from taskscheduler_daemon.web.api.schedule_forms import Date

State = Literal["waiting", "postponed", "processing", "done", "failed", "canceled", "timeout", "unreadable"]

Moment = Annotated[
    str | float, Field(description="a date with a time zone, such as 2027-06-01T00:00:00Z, or a unix time")
]

Seconds = Annotated[float, Field(description="seconds")]

LONGEST_REASON = 500

MOST_IDS = 1000


class Form(BaseModel):
    """A body."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Options(Form):
    """The options of a job; what is left out has its default, or that of the class."""

    at: Moment | None = Field(None, description="run not before")
    interval: float | None = Field(None, description="run again after so many seconds; -1: at once again")
    interval_reference: Literal["start", "end"] | None = None
    retry: int | None = Field(None, description="retries after failed or timeout; -1: no limit")
    retry_interval: Seconds | None = None
    backoff: str | list[float] | None = Field(None, description="constant, linear, exponential or a list of seconds")
    retry_interval_max: Seconds | None = None
    jitter: float | None = Field(None, description="0 to 1: so much of a pause is left to chance")
    retry_for: Seconds | None = None
    start_by: Moment | None = Field(None, description="canceled unless it starts within so many seconds, or by a date")
    timeout: Seconds | None = None
    silence_timeout: Seconds | None = None
    force_spawn: bool | None = None
    id: str | None = Field(None, description="an id of your choice, 24 hexadecimal digits")
    ignore_data: bool | None = Field(None, description="with `once`: compare the class only")
    dedupe: bool | None = None
    unique_for: Seconds | None = None
    unique_key: str | None = None
    debounce: Seconds | None = None
    debounce_max: Seconds | None = None
    queue: str | None = None
    priority: int | None = None
    parent: str | None = Field(None, description="the id of the job that it is a child of")
    tags: list[str] | None = None
    solo: bool | str | None = None
    limits: list[str] | None = None
    sequence: str | None = None
    sequence_on_failure: Literal["skip", "block"] | None = None
    group: str | None = None


class NewJob(Options):
    """The body of `POST /api/v1/jobs`: a job, its data, and any option."""

    job: str = Field(min_length=1, description="the registered name of a job; others are refused")
    data: Any = Field(None, description="in JSON or extended JSON")
    once: bool = Field(False, description="not added if the same job is live: same class, same data")


class JobError(BaseModel):
    """The error of an attempt; it may tell more, such as exit_code, signal and place."""

    model_config = ConfigDict(extra="allow")

    type: str
    message: str


class JobRecord(BaseModel):
    """A job without its data and result; with `fields`, only these."""

    id: str = Field(description="24 hexadecimal digits; extended JSON if another program has chosen another id")
    job: str = Field("", description="the registered name of its class")
    status: State = "waiting"
    queue: str | None = None
    priority: int | None = None
    created: Date | None = None
    at: Date | None = Field(None, description="it runs not before")
    started: Date | None = Field(None, description="of the newest attempt")
    ended: Date | None = None
    alive: Date | None = Field(None, description="last sign of life")
    expires: Date | None = Field(None, description="by when it has to begin")
    wait_seconds: float | None = Field(None, description="from when it was due to the start of the newest attempt")
    run_seconds: float | None = Field(None, description="of the newest attempt, once it has ended")
    attempt: int = Field(0, description="number of the newest attempt; 0 before the first one")
    retries: int | None = Field(None, description="how many of the retries are used")
    lost: int | None = Field(None, description="attempts that were lost with their worker or node")
    progress: float = Field(0, description="percent")
    message: str | None = None
    node: str | None = None
    worker: str | None = None
    tags: list[str] = []
    error: JobError | None = None
    fingerprint: str | None = None
    reason: str | None = Field(None, description="why somebody has cancelled it")
    parent: str | None = None
    series: str | None = None
    flow: str | None = None
    schedule: str | None = None
    scheduled_at: Date | None = None
    options: dict[str, Any] = Field({}, description="job options as they are stored; `at` as a unix time")


class AddedJob(JobRecord):
    """A job that was added, or that was there already."""

    outcome: Literal["created", "existing", "replaced", "debounced"]


class Attempt(BaseModel):
    """One attempt of a job."""

    attempt: int
    status: State | None = Field(description="null for one that was lost, or handed back")
    claimed: Date | None
    started: Date | None
    ended: Date | None
    node: str | None
    worker: str | None
    error: JobError | None
    reason: str | None
    retried: str | None = Field(description="why somebody had it tried again")
    pause: float | None = Field(description="seconds until the next attempt")


class JobDetails(JobRecord):
    """All about a job."""

    data: Any = Field(description="in relaxed extended JSON")
    result: Any = Field(description="what it returned, in relaxed extended JSON")
    attempts: list[Attempt]
    steps: list[dict[str, Any]]
    signals: dict[str, Any]
    fields: dict[str, Any] = Field(description="what a program has recorded")


class JobResult(BaseModel):
    """How a job ended."""

    id: str
    status: State
    result: Any = Field(description="what it returned, in relaxed extended JSON; null unless it is done")
    error: JobError | None


class JobList(BaseModel):
    """A page of jobs."""

    jobs: list[JobRecord]
    next: str | None = Field(description="address of the next page; null behind the last one")


class JobCount(BaseModel):
    """How many jobs match."""

    count: int
    is_complete: bool = Field(description="false: there may be more than those that were counted")


class StatusChange(BaseModel):
    """A change of status of a job, as the event log has it."""

    at: Date
    status: State
    attempt: int | None
    node: str | None


class Reason(Form):
    """A body that says why, and may be empty."""

    reason: str | None = Field(None, max_length=LONGEST_REASON, description="everybody sees it")


class Retry(Form):
    """The body of a retry, which may be empty: what the job runs with from now on."""

    reason: str | None = Field(None, max_length=LONGEST_REASON, description="it is stored in the attempts")
    from_step: str | None = Field(None, description="the first step that it forgets")
    data: Any = None
    at: Moment | None = None
    queue: str | None = None
    priority: int | None = None
    tags: list[str] | None = None
    timeout: Seconds | None = None
    silence_timeout: Seconds | None = None
    retry: int | None = None
    retry_interval: Seconds | None = None
    backoff: str | list[float] | None = None
    retry_interval_max: Seconds | None = None
    jitter: float | None = None
    retry_for: Seconds | None = None


class Update(Form):
    """The body of a change; what is left out stays."""

    priority: int | None = None
    at: Moment | None = Field(None, description="0: at once")
    queue: str | None = None
    data: Any = None
    tags: list[str] | None = Field(None, description="all of them; an empty list removes them")


class NewSignal(Form):
    """The body of a signal."""

    name: str = Field(min_length=1)
    value: Any = None


class SignalRecord(BaseModel):
    """What became of a signal."""

    name: str
    value: Any = Field(description="that of the first signal of this name, in relaxed extended JSON")
    won: bool = Field(description="whether that was yours")
    timed_out: bool = Field(description="whether the job has given up waiting for it")


class Selection(Form):
    """The body of an action on many jobs: which ones, and how many there must be."""

    q: str | None = Field(None, description="an expression such as `status:failed class:Mail created:>-2h`")
    ids: list[str] | None = Field(None, max_length=MOST_IDS, description="instead of an expression")
    everything: bool = Field(False, description="all jobs; has to be said if there is no expression")
    slow: bool = Field(False, description="search also if all jobs have to be read")
    dry_run: bool = Field(False, description="count the jobs, and change none")
    expected: int | None = Field(None, ge=0, description="if not so many are selected, nothing is done: 412")
    limit: int = Field(10_000, ge=1, le=100_000, description="at most so many jobs, the oldest first")
    reason: str | None = Field(None, max_length=LONGEST_REASON)


class RetrySelection(Selection):
    """The body of a retry of many jobs."""

    spread: float = Field(0, ge=0, description="they become due evenly over so many seconds")


class SelectionResult(BaseModel):
    """What was done to many jobs."""

    total: int = Field(description="jobs that were selected, up to the limit")
    count: int = Field(description="jobs that were changed, or would be")
    skipped: int
    reasons: dict[str, int] = Field(description="why jobs were skipped, and how many for each reason")
    dry_run: bool
    is_complete: bool = Field(description="false: the limit was reached; the same call goes on with the others")
