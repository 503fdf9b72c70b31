"""The tools of an assistant that only read. Their signatures and docstrings are what the assistant is told."""

from __future__ import annotations

from typing import Any

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.filters.durations import parse_duration
from taskscheduler.model.filters.expression import Filter
from taskscheduler.operations.history import history
from taskscheduler.process import Process
from taskscheduler_daemon.cli.database import OpenDatabase
from taskscheduler_daemon.cli.reading.cluster_status import ClusterStatus
from taskscheduler_daemon.cli.reading.newest_jobs import newest, query_of, searches
from taskscheduler_daemon.presentation import failure as failures
from taskscheduler_daemon.presentation import log
from taskscheduler_daemon.presentation import reason as reasons
from taskscheduler_daemon.presentation.job import record

_MOST_JOBS, _MOST_LINES, _MOST_FAILURES = 100, 1000, 100


class Reading:
    """Reads what assistants ask for. Safe to use from many threads."""

    def __init__(self, database: OpenDatabase) -> None:
        self._database = database
        self._scheduler = database.scheduler

    def status(self) -> Any:
        """Shows the cluster: nodes and their workers, how many jobs are in each status and queue, what is paused, and
        for which reasons due jobs wait. Begin here. Counts end at 10001."""
        return ClusterStatus.read(self._database).to_dict()

    def list_jobs(self, where: str = "", everything: bool = False, limit: int = 20) -> Any:
        """Lists the newest jobs, without their data and results; `show_job` has these.

        where: words that all must hold, such as `status:failed class:myapp.Mail created:>-2h`, `queue:mail`, `tag:a`
        or `error:Timeout`. Without a status in it, only jobs that wait or run, unless `everything`. limit: 1 to 100.
        """
        most, chosen = _within("limit", limit, _MOST_JOBS), Filter.parse(where)
        queries = [query_of((), None, None, (), everything or chosen.names("status"))]
        if where:
            queries = searches(self._database, queries[0], chosen, slow=False)
        documents = newest(self._database, queries, most + 1)
        jobs = [record(Process(self._scheduler, document)) for document in documents[:most]]
        return {"jobs": jobs, "there_are_more": len(documents) > most}

    def show_job(self, job_id: str) -> Any:
        """Shows everything about one job: data, result, error, attempts, options, and each change of its status."""
        job = self._scheduler.get_job(job_id)
        changes = history(self._scheduler.store, job.id)
        return {**record(job), "history": [{**one._asdict(), "status": one.status.label} for one in changes]}

    def why(self, job_id: str = "") -> Any:
        """Says why a job does not run now: a code and a sentence. Without an id: counts the live jobs of each code."""
        if not job_id:
            return reasons.summary_record(self._scheduler.why())
        return reasons.record(self._scheduler.why(job_id))

    def job_logs(self, job_id: str, attempt: int = 0, limit: int = 100) -> Any:
        """Shows the newest lines that a job has logged and printed, the oldest of them first.

        attempt: its number; 0 for all. limit: 1 to 1000 lines.
        """
        most = _within("limit", limit, _MOST_LINES)
        page = self._scheduler.logs.page(job_id, attempt or None, None, most, newest_first=True)
        return {"lines": [log.record(one) for one in reversed(page.lines)], "there_are_more": page.next is not None}

    def failures(self, since: str = "24h", job: str = "", limit: int = 20) -> Any:
        """Counts the failed jobs by the mistake that made them fail, with an example of each.

        since: how long ago they failed at most, such as `90s`, `1h` or `7d`; empty for all. job: only this class.
        limit: 1 to 100 mistakes, those seen last.
        """
        most = _within("limit", limit, _MOST_FAILURES)
        found = self._scheduler.failures(parse_duration(since) if since else None, job or None, most)
        return [failures.record(one) for one in found]


def _within(name: str, value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise InvalidOptionError(f"option {name} must be 1 to {most}, not {value}")
    return value
