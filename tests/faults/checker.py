"""Pure: decides from the histories and the final job documents whether every promise was kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

from tests.faults.executions import Execution, executions
from tests.faults.history import Event

WAITING, POSTPONED, PROCESSING, DONE, FAILED, CANCELED, TIMEOUT = range(7)
FINAL = {DONE, FAILED, CANCELED, TIMEOUT}
_MOVES = {
    WAITING: {PROCESSING, CANCELED, FAILED},
    POSTPONED: {WAITING, CANCELED, FAILED},
    PROCESSING: {WAITING, POSTPONED, *FINAL},
}
#: the same for jobs that are under a control: it may keep them back after all, and a group takes its turn
_CONTROLLED_MOVES = {**_MOVES, WAITING: {*_MOVES[WAITING], POSTPONED}, POSTPONED: {*_MOVES[POSTPONED], PROCESSING}}
_CONTROLS = {"limits", "sequence", "solo", "group"}
#: and for members of a flow: a node that has done those before claims them at once
_FLOW_MOVES = {**_MOVES, POSTPONED: {*_MOVES[POSTPONED], PROCESSING}}
#: adder and node each estimate the clock of the server, on a busy machine some milliseconds apart
_CLOCKS = timedelta(milliseconds=100)

_OF_THE_END = {"status", "ended", "worker", "attempt", "claim", "retries", "lost", "started"}


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, the job it was about, and how that is known."""

    rule: str
    job: str
    text: str


@dataclass(frozen=True)
class Facts:
    """All that is known about a run when it is over."""

    events: Sequence[Event]
    documents: Mapping[str, Mapping[str, Any]]  #: the final job documents by id
    max_lost: int = 3
    kill_grace: float = 0.5
    lease: float = 2.5
    ended: set[str] = field(default_factory=set)

    def is_service(self, job: str) -> bool:
        return "service" in self.documents.get(job, {})

    def is_controlled(self, job: str) -> bool:
        return not _CONTROLS.isdisjoint(self.documents.get(job, {}))

    def moves(self, job: str) -> Mapping[int, set[int]]:
        """The statuses that each status of this job may lead to."""
        if self.is_controlled(job):
            return _CONTROLLED_MOVES
        return _FLOW_MOVES if "flow" in self.documents.get(job, {}) else _MOVES

    def of(self, *kinds: str) -> Iterator[Event]:
        """The events of these kinds in order."""
        return (event for event in self.events if event["what"] in kinds)

    def ids(self, kind: str) -> set[str]:
        """All ids named by events of one kind."""
        return {job_id for event in self.of(kind) for job_id in event["ids"]}

    @cached_property
    def attempted(self) -> set[str]:
        return self.ids("add")

    @cached_property
    def acked(self) -> set[str]:
        return self.ids("acked")

    @cached_property
    def expected(self) -> dict[str, str]:
        return {job_id: event["expected"] for event in self.of("add") for job_id in event["ids"]}

    @cached_property
    def runs(self) -> dict[str, list[Execution]]:
        """What was executed, by job."""
        return executions(self.events)

    @cached_property
    def changes(self) -> list[Event]:
        """The committed changes of job documents in the database's order."""
        return sorted(self.of("change"), key=lambda event: event["n"])

    @cached_property
    def replaced(self) -> set[str]:
        """Jobs that somebody cancelled or replaced, so that they may end otherwise than expected."""
        return {event["job"] for event in self.of("cancel")}


Rule = Callable[[Facts], Iterator[Violation]]


def present(facts: Facts) -> Iterator[Violation]:
    for job in sorted(facts.acked - set(facts.documents)):
        yield Violation("acknowledged adds are kept", job, "its document is gone")


def refusals_are_certain(facts: Facts) -> Iterator[Violation]:
    """What raises anything else than DatabaseUnavailableError has stored nothing."""
    for event in facts.of("unknown"):
        for job in set(event["ids"]) & set(facts.documents):
            if not event["why"].startswith("DatabaseUnavailableError"):
                yield Violation("what is refused is not stored", job, event["why"])


def all_end(facts: Facts) -> Iterator[Violation]:
    for job, document in facts.documents.items():
        if document["status"] not in FINAL:
            yield Violation("every job ends", job, f"status {document['status']} after the drain")
        elif document.get("pending") or "next" in document:
            yield Violation("every debt is paid", job, f"still owes {document.get('pending')}")


def nothing_unexpected(facts: Facts) -> Iterator[Violation]:
    for job, document in facts.documents.items():
        planned = "schedule" in document or str(document.get("series")) in facts.attempted
        if job not in facts.attempted and not planned:
            yield Violation("nothing appears that was not added", job, "a document that nobody added")
    for job in facts.runs:
        if job not in facts.documents:
            yield Violation("nothing runs that was not added", job, "it ran, and there is no document")


def one_completion(facts: Facts) -> Iterator[Violation]:
    """A job that has ended does not change any more, whoever comes late; a service may be started again."""
    ended: dict[str, Event] = {}
    for change in facts.changes:
        job, status = change["job"], change["set"].get("status")
        if status == WAITING and facts.is_service(job):
            ended.pop(job, None)
        if job in ended and (touched := _OF_THE_END & set(change["set"])):
            yield Violation("a job is finished once", job, f"{sorted(touched)} changed after its end")
        if status in FINAL or (change["op"] == "replace" and status in FINAL):
            ended[job] = change
    for event in facts.of("recorded"):
        for job, attempt, status in event["ends"]:
            document = facts.documents.get(job)
            if (
                document is not None
                and status in FINAL
                and (document["status"], document["attempt"]) != (status, attempt)
            ):
                found = f"status {document['status']} of attempt {document['attempt']} is stored"
                yield Violation("what a node recorded stays", job, f"status {status} of attempt {attempt}, {found}")


def own_result(facts: Facts) -> Iterator[Violation]:
    """The result is that of the attempt that ended the job."""
    for job, document in facts.documents.items():
        result = document.get("result")
        if isinstance(result, Mapping) and (result["data"], result["attempt"]) != (
            document["data"],
            document["attempt"],
        ):
            yield Violation("the result is of the last attempt", job, f"{result}, attempt {document['attempt']}")


def started_once(facts: Facts) -> Iterator[Violation]:
    for job, runs in facts.runs.items():
        for attempt in {run.attempt for run in runs if run.starts > 1}:
            yield Violation("an attempt starts once", job, f"attempt {attempt} started several times")


def attempts_grow(facts: Facts) -> Iterator[Violation]:
    """Each claim counts up by one; what had not begun is given back by one."""
    known: dict[str, int] = {}
    for change in facts.changes:
        attempt, job = change["set"].get("attempt"), change["job"]
        if attempt is None:
            continue
        before, status = known.get(job, 0), change["set"].get("status")
        refused = status == POSTPONED and facts.is_controlled(job)
        given_back = attempt == before - 1 and (status == WAITING or refused)
        if change["op"] == "update" and not (attempt == before + 1 and status == PROCESSING) and not given_back:
            yield Violation("attempts count up", job, f"from {before} to {attempt} with status {status}")
        known[job] = attempt


def legal_moves(facts: Facts) -> Iterator[Violation]:
    known: dict[str, int] = {}
    for change in facts.changes:
        status, job = change["set"].get("status"), change["job"]
        if status is None:
            continue
        before = known.get(job)
        ended_may = {WAITING} if facts.is_service(job) else set()
        moves = facts.moves(job)
        if change["op"] == "update" and before is not None and status not in moves.get(before, ended_may):
            yield Violation("statuses change by the rules", job, f"from {before} to {status}")
        known[job] = status


def not_early(facts: Facts) -> Iterator[Violation]:
    for job, document in facts.documents.items():
        started = document.get("started")
        if started is not None and started < document["at"] - _CLOCKS:
            yield Violation("nothing starts before its time", job, f"started {started}, due {document['at']}")


def retries_bounded(facts: Facts) -> Iterator[Violation]:
    """But for services, which are started again for ever."""
    for job, document in facts.documents.items():
        if facts.is_service(job):
            continue
        retry = document["options"]["retry"]
        if retry >= 0 and document["retries"] > retry:
            yield Violation("retries are bounded", job, f"{document['retries']} retries of {retry}")
        if document["lost"] > facts.max_lost:
            yield Violation("losses are bounded", job, f"lost {document['lost']} times")


def as_expected(facts: Facts) -> Iterator[Violation]:
    """What only failed because too many of its workers died is no surprise."""
    wanted = {"done": DONE, "failed": FAILED, "timeout": TIMEOUT, "poisoned": FAILED}
    for job, expected in facts.expected.items():
        document = facts.documents.get(job)
        if document is None or expected == "any" or job in facts.replaced or document["status"] not in FINAL:
            continue
        poisoned = (document.get("error") or {}).get("type") == "PoisonedJobError"
        if poisoned and document["lost"] < facts.max_lost:
            yield Violation("only poison is set aside", job, f"after {document['lost']} losses")
        if document["status"] != wanted[expected] and not poisoned:
            yield Violation("jobs end as they should", job, f"status {document['status']}, not {expected}")


def innocent_not_set_aside(facts: Facts) -> Iterator[Violation]:
    """Only what kills its workers, managers or nodes is set aside for it, and nothing for what others wrote into it."""
    for job, expected in facts.expected.items():
        error = facts.documents.get(job, {}).get("error") or {}
        if error.get("type") == "InvalidDocumentError":
            yield Violation("no document is spoiled", job, str(error.get("message")))
        if error.get("type") == "PoisonedJobError" and expected not in ("poisoned", "any"):
            yield Violation("the innocent are not set aside", job, str(error.get("message")))


def charged_had_started(facts: Facts) -> Iterator[Violation]:
    """A loss is charged to an attempt that had started; its worker may have died before the job's first line."""
    attempts: dict[str, int] = {}
    losses: dict[str, int] = {}
    started = {(event["job"], event["attempt"]) for event in facts.of("begin", "start")}
    for change in facts.changes:
        job, fields = change["job"], change["set"]
        attempts[job] = fields.get("attempt", attempts.get(job, 0))
        lost = fields.get("lost", losses.get(job, 0))
        if lost > losses.get(job, 0) and (job, attempts[job]) not in started:
            yield Violation("what had not started is not charged", job, f"attempt {attempts[job]} had not started")
        losses[job] = lost
