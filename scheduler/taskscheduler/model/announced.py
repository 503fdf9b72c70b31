"""Which changes of jobs were announced, so that each is announced once and in order, whoever brings it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from taskscheduler.model.document import Document
from taskscheduler.model.lifecycle import FINAL, QUEUED, Status

_MOST_JOBS = 50_000  #: the oldest are forgotten

_PROCESSING, _ENDED, _POSTPONED, _WAITING, _FINAL = range(5)

_STEPS = {Status.PROCESSING: _PROCESSING, Status.POSTPONED: _POSTPONED, Status.WAITING: _WAITING}


class Place(NamedTuple):
    """A place in the life of a job: the number of its attempt, and the step in or after that."""

    attempt: int
    step: int


def place(document: Mapping[str, Any]) -> Place | None:
    """Returns the place of a job with this status; None if the document does not say it."""
    status, attempt = Status(document.get("status", -1)), document.get("attempt", 0)
    if not isinstance(attempt, int):
        return None
    if status in FINAL:
        return Place(attempt, _ENDED if document.get("rearmed") == f"{attempt}:{status.label}" else _FINAL)
    return Place(attempt, _STEPS[status]) if status in _STEPS else None


def history(document: Document) -> Iterator[Document]:
    """Yields a job as it must have been at each step of its life until now, oldest first; its `place` must be known."""
    entries = document.get("attempts")
    known = [one for one in entries if isinstance(one, Mapping)] if isinstance(entries, list) else []
    ended = {one["attempt"]: one for one in known if isinstance(one.get("attempt"), int)}
    numbers, current = sorted(ended), document.get("attempt", 0)
    if Status(document.get("status", -1)) not in QUEUED and current > 0 and current not in ended:
        numbers.append(current)
    for number in numbers:
        yield {**document, "status": int(Status.WAITING), "attempt": number - 1}
        yield {**document, "status": int(Status.PROCESSING), "attempt": number}
        if number in ended:
            yield from _after_attempt(document, ended[number])


def _after_attempt(document: Document, entry: Mapping[str, Any]) -> Iterator[Document]:
    status = entry.get("status")
    if status not in FINAL:  # it was lost or handed back, or has put its job off
        if status == Status.POSTPONED:
            yield {**document, "status": int(Status.POSTPONED), "attempt": entry["attempt"]}
        return
    ended = Status(status)
    facts = {"status": int(ended), "attempt": entry["attempt"], "error": entry.get("error")}
    yield {**document, **facts, "rearmed": f"{entry['attempt']}:{ended.label}"}
    pause = entry.get("pause", (document.get("options") or {}).get("retry_interval"))
    if isinstance(pause, int | float) and pause > 0:
        yield {**document, "status": int(Status.POSTPONED), "attempt": entry["attempt"]}


@dataclass(slots=True)
class _Job:
    place: Place
    followed: bool = False  #: whether somebody waits for it, and so hears of every step
    began: datetime | None = None  #: when it was added, or put back into the queue
    progress: tuple[Any, ...] | None = None


class Announced:
    """Remembers how far the jobs of a scheduler were announced."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[Any, _Job] = OrderedDict()

    def follow(self, document: Mapping[str, Any]) -> None:
        """Every step of this job is to be announced, beginning behind the state in which it is known."""
        known = place(document)
        if known is None:
            return
        job = self._jobs.get(document["_id"]) or self._remember(document["_id"], known)
        job.place, job.followed = max(job.place, known), True

    def due(self, document: Document, requeued: bool = False, complete: bool = False) -> list[Document]:
        """Returns what is to be announced now that a job is seen like this: nothing, or what leads to it and itself.

        `requeued`: an ended job was put back into the queue. `complete`: what nobody has seen is not left out.
        """
        here, job = place(document), self._jobs.get(document["_id"])
        if here is None:
            return [document]
        if job is None:
            self._remember(document["_id"], here).began = _time(document, "at" if requeued else "created")
            return [document]
        if here.step == _WAITING and job.place.step == _POSTPONED:
            here = min(here, Place(job.place.attempt, _WAITING))  # it became due, and was read in a later attempt
        if not _is_news(job, here, document, requeued):
            return []
        missed: list[Document] = []
        if complete or job.followed:
            missed = [one for one in history(document) if job.place < (place(one) or here) < here]
        job.place = here
        return [*missed, document]

    def is_due(self, document: Mapping[str, Any]) -> bool:
        """Returns whether the progress of a running job is to be announced."""
        job, attempt = self._jobs.get(document["_id"]), document.get("attempt", 0)
        if job is None:
            job = self._remember(document["_id"], place(document) or Place(0, _PROCESSING))
        said = (attempt, document.get("progress"), document.get("message"))
        if said == job.progress or job.place > Place(attempt, _PROCESSING):
            return False
        job.progress = said
        return True

    def _remember(self, job_id: Any, known: Place) -> _Job:
        job = self._jobs[job_id] = _Job(known)
        if len(self._jobs) > _MOST_JOBS:
            self._jobs.popitem(last=False)
        return job


def _time(document: Mapping[str, Any], field: str) -> datetime | None:
    value = document.get(field)
    if not isinstance(value, datetime) or value.tzinfo is None:
        return None
    return value.replace(microsecond=value.microsecond // 1000 * 1000)  # as the database gives it back


def _is_news(job: _Job, here: Place, document: Mapping[str, Any], requeued: bool) -> bool:
    before, began = job.place, _time(document, "at" if requeued else "created")
    is_younger = began is not None and (job.began is None or began > job.began)
    if requeued or (is_younger and job.began is not None):  # the latter: it has the id of a job that was deleted
        if not is_younger or (requeued and before.step != _FINAL):
            return False
        job.began = began
        return True
    if here.step == _FINAL and before.step != _FINAL:
        return here.attempt >= before.attempt - 1  # one less: it was handed back unstarted, which is not announced
    return here > before
