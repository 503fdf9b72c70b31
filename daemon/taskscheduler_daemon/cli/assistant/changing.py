"""The tools of an assistant that change something. Each call needs a reason, which is written down."""

from __future__ import annotations

from typing import Any

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.filters.durations import parse_duration
from taskscheduler.operations.audit.acting import explain
from taskscheduler.operations.selections.result import SelectionResult
from taskscheduler.scheduler import Scheduler

MOST_AT_ONCE = 1000


class Changing:
    """Does what an operator may do. Safe to use from many threads."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def retry_job(self, job_id: str, reason: str) -> Any:
        """Puts a job that has ended back in the queue: it runs once more, with all its retries."""
        return {"status": self._scheduler.retry_job(job_id, reason=_given(reason)).status.label}

    def cancel_job(self, job_id: str, reason: str) -> Any:
        """Cancels a job and the runs that would follow it. A job that runs is killed."""
        self._scheduler.cancel_job(job_id, reason=_given(reason))
        return {"status": self._scheduler.get_job(job_id).status.label}

    def retry_jobs(self, where: str, reason: str, dry_run: bool = True, limit: int = 100) -> Any:
        """Puts all jobs that match back in the queue. With `dry_run`, which is the default, it only counts them.

        where: an expression as for `list_jobs`. limit: 1 to 1000 jobs, the oldest.
        """
        most, why = _limit(limit), _given(reason)
        return _result(self._scheduler.select(_expression(where)).retry(dry_run=dry_run, limit=most, reason=why))

    def cancel_jobs(self, where: str, reason: str, dry_run: bool = True, limit: int = 100) -> Any:
        """Cancels all jobs that match and have not ended. With `dry_run`, which is the default, it only counts them.

        where: an expression as for `list_jobs`. limit: 1 to 1000 jobs, the oldest.
        """
        most, why = _limit(limit), _given(reason)
        return _result(self._scheduler.select(_expression(where)).cancel(dry_run=dry_run, limit=most, reason=why))

    def pause(self, reason: str, queue: str = "", job: str = "", tag: str = "", until: str = "") -> Any:
        """Keeps nodes from starting jobs of a queue, of a class or with a tag: name one of them. Running jobs go on.

        until: how long it lasts, such as `30m`; empty: until somebody resumes it.
        """
        ends = parse_duration(until) if until else None
        pause = self._scheduler.pause(**_one_of(queue, job, tag), reason=_given(reason), until=ends)
        return {"paused": {"kind": pause.kind, "name": pause.name, "until": pause.until}}

    def resume(self, reason: str, queue: str = "", job: str = "", tag: str = "") -> Any:
        """Ends the pause of a queue, of a class or of a tag: name one of them."""
        named = _one_of(queue, job, tag)
        explain(_given(reason))
        return {"was_paused": self._scheduler.resume(**named)}


def _given(reason: str) -> str:
    if not reason.strip():
        raise InvalidOptionError("option reason must say why, in 1 to 500 characters: it is written to the audit log")
    return reason


def _expression(where: str) -> str:
    if not where.strip():
        raise InvalidOptionError("option where must name some jobs, such as status:failed class:myapp.Mail")
    return where


def _limit(value: int) -> int:
    if not 1 <= value <= MOST_AT_ONCE:
        raise InvalidOptionError(f"option limit must be 1 to {MOST_AT_ONCE}, not {value}")
    return value


def _one_of(queue: str, job: str, tag: str) -> dict[str, Any]:
    named = {name: value for name, value in {"queue": queue, "job": job, "tag": tag}.items() if value}
    if len(named) != 1:
        raise InvalidOptionError("name one of queue, job and tag")
    return named


def _result(found: SelectionResult) -> dict[str, Any]:
    skipped = dict(found.reasons)
    return {"matched": found.total, found.done: found.count, "skipped": skipped, "dry_run": found.dry_run}
