"""The end of an attempt, ready to be written, and what a stored job tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bson import ObjectId

from taskscheduler.model.attempts.cost import UNKNOWN, Cost
from taskscheduler.model.control.keys import FAR
from taskscheduler.model.document import Document
from taskscheduler.model.flows.membership import Membership
from taskscheduler.model.lifecycle import Status, Transition, Verdict
from taskscheduler.model.metrics.counts import Sample
from taskscheduler.store.fence import Fence

SNOOZED = "snoozed"  #: how an attempt ended, for `rearmed`, that has put its job off

AWAITS = "awaits"  #: what a job carries that has given its slot back until a signal comes, or a sleep is over


def listed_in(field: str) -> Document:
    """Returns an expression for the list in a field, also of a job that has none or something else there."""
    return {"$cond": [{"$isArray": f"${field}"}, f"${field}", []]}


LISTED = listed_in("attempts")

#: what a job carries that has to begin in time: until when; and with the option `retry_for`, when it was first started
WINDOW = ("expires", "first_started")

#: what a job carries that was interrupted or suspected
MARKS = ["suspect", "signalled"]


class Again(NamedTuple):
    """When a job that is queued again may begin, beside its pause: of jobs that have such a limit, or have asked."""

    at: datetime | None = None  #: the date that it has asked for
    begun: bool = True  #: whether this attempt had begun, as far as that is known
    retry_for: float = 0  #: seconds from the first start in which a try may begin; 0: no limit
    awaits: Mapping[str, Any] | None = None  #: the sleep or signal that it waits for, see `model/resumable/steps.py`

    def due(self, pause: Any) -> Any:
        """Returns, for a pipeline, when the job is due that would be after a pause: at once if its signal is there."""
        if self.awaits is None or "name" not in self.awaits:
            return pause if self.at is None else {"$literal": self.at}
        names = {"$map": {"input": listed_in("signals"), "in": "$$this.name"}}
        came = {"$in": [{"$literal": self.awaits["name"]}, names]}
        return {"$cond": [came, "$$NOW", {"$literal": self.at or FAR}]}

    def window(self, move: Transition, started: Any) -> tuple[Document, list[str]]:
        """Returns the fields to set and to remove by this move of a job whose attempt was `started` then.

        A job that was handed back need not hurry: it is not its fault. One that was put off begins as if for the first
        time.
        """
        if not self.begun:
            return {}, []
        if move is Transition.SNOOZE or not self.retry_for:
            return {}, list(WINDOW)
        first: Document = {"$ifNull": ["$first_started", started]}
        if move is Transition.RELEASE:
            return {"first_started": first}, ["expires"]
        return {"first_started": first, "expires": {"$add": [first, round(self.retry_for * 1000)]}}, []


@dataclass(slots=True)
class Completion:
    """The end of an attempt, ready to be written."""

    fence: Fence
    verdict: Verdict
    worker: str | None = None
    lost: bool = False  #: whether it counts as a lost worker
    signalled: bool = False  #: whether it was interrupted by the signal of an operator
    suspect: Mapping[str, Any] | None = None  #: the mark that the job gets or keeps
    was_marked: bool = False  #: whether the job has a mark or a count of signals, to be taken away if it has earned it
    unstarted: bool = False  #: it never began, so the attempt is not counted
    result: Any = None
    error: Mapping[str, Any] | None = None
    reason: str | None = None  #: why it was handed back
    progress: Mapping[str, Any] = field(default_factory=dict)
    retry_interval: float = 0  #: seconds until it begins again
    again: Again | None = None
    interval: float = 0
    interval_reference: str = "end"
    series: tuple[ObjectId, int] | None = None  #: series and number of this run
    effects: tuple[str, ...] = ()  #: what the outbox delivers after the write
    holds_once_key: bool = False  #: whether the job holds a key of add_job_once
    keys: tuple[str, ...] = ()  #: of the controls of which it holds places
    keeps_turn: bool = False  #: whether the job blocks its sequence if it fails
    member: Membership | None = None  #: of a flow
    ended_as: Status = Status.FAILED  #: how the attempt ended, for its entry in `attempts`
    job: str = ""  #: the name of the job's class
    fingerprint: str | None = None  #: of a failure whose place in the code is known
    began: float = 0.0  #: when it began, a unix time by the server's clock; 0.0: when it was claimed
    ended: float = 0.0  #: when it ended; 0.0: when that is written
    commits: bool = False  #: whether the job writes it itself, in its transaction
    sample: Sample | None = None  #: what is counted about the attempt once this is written, but for its status
    batched: int = 0  #: how many jobs ran as one with it; 0: it ran by itself
    cost: Cost = UNKNOWN
    died: Mapping[str, Any] = field(default_factory=dict)  #: exit code or signal of its worker, if no error has it

    @property
    def is_simple(self) -> bool:
        """Whether the job is done and nothing else is written, so that many such ends fit in one update."""
        return self.result is None and self._is_plain

    @property
    def has_result_alone(self) -> bool:
        """Whether the job is done at known times, and nothing is written beside them but its result."""
        is_special = self.commits or self.was_marked or self.member is not None
        return self.result is not None and self._is_plain and not is_special and bool(self.began and self.ended)

    @property
    def _is_plain(self) -> bool:
        nothing = not self.progress and not self.effects and not self.holds_once_key
        return nothing and not self.keys and self.verdict.move is Transition.SUCCEED and self.fence.attempt == 1


def as_date(unix: float) -> datetime:
    """Returns a unix time as a date."""
    return datetime.fromtimestamp(unix, UTC)


def is_written(completion: Completion, job: Mapping[str, Any] | None) -> bool:
    """Whether a job, as it is stored now, shows that this end was written."""
    if job is None:
        return False
    if completion.verdict.status.is_final:
        return (job.get("status"), job.get("claim")) == (completion.verdict.status, completion.fence.claim)
    return str(job.get("rearmed", "")).startswith(f"{completion.fence.attempt}:")


def is_committed(fence: Fence, job: Mapping[str, Any] | None) -> bool:
    """Whether an attempt has ended its job as DONE itself."""
    found = job or {}
    return (found.get("status"), found.get("claim"), found.get("attempt")) == (Status.DONE, fence.claim, fence.attempt)
