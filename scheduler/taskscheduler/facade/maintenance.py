"""The methods of a scheduler that act on many jobs at once, and those that count them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from taskscheduler.declarations.registry import job_name
from taskscheduler.errors import InvalidOptionError
from taskscheduler.facade.actions import action
from taskscheduler.facade.methods import Methods
from taskscheduler.model.checks import Seconds, integer, past, queue_name, seconds
from taskscheduler.model.failures import Failure
from taskscheduler.model.lifecycle import Status
from taskscheduler.operations.delete import delete_old, flush
from taskscheduler.operations.rescue import restore
from taskscheduler.operations.stats import COUNTED_BY, statistics
from taskscheduler.process import Process
from taskscheduler.store.counts.by_name import count_all
from taskscheduler.store.counts.failures import FailureCounts
from taskscheduler.store.driver_errors import translated
from taskscheduler.store.overview import ClusterOverview


class MaintenanceMethods(Methods):
    """Deletes, rescues and counts jobs."""

    @action("jobs.flush", facts=("job", "queue"))
    def flush(self, job: Any = None, queue: str | None = None) -> int:
        """Deletes all jobs, or all of one class or queue; stops those that run. Returns how many were deleted."""
        query = _of_job(job)
        if queue is not None:
            query["queue"] = queue_name("queue", queue)
        with translated():
            return flush(self._core.store, query)

    @action("jobs.restore", facts=("queue",))
    def restore(self, queue: str | None = None) -> int:
        """Rescues the jobs of lost nodes at once, of one queue or all; returns how many jobs wait again.

        Nodes do so by themselves a while after a node has died; this serves where none is left to do it.
        """
        if queue is not None:
            queue_name("queue", queue)
        with translated():
            return restore(self._core.store, queue)

    @action("programs.end_silent", facts=("job",))
    def end_silent(self, job: Any = None) -> list[Process]:
        """Marks tracked programs as timed out that stopped reporting, or that are gone from this host.

        Returns the records that were ended, of one name or all. Nodes do so by themselves; this serves where none runs.
        """
        query = _of_job(job)
        with translated():
            ended = self._core.store.programs.end_silent(query)
            return [self._core.processes.process(document) for document in ended]

    @action("jobs.delete_old", facts=("age", "job"))
    def delete_old_jobs(self, age: Seconds, job: Any = None) -> int:
        """Deletes the jobs, of one class or all, that ended longer ago than `age`: seconds or a timedelta.

        Returns how many were deleted.
        """
        older = timedelta(seconds=seconds("age", age))
        query = _of_job(job)
        with translated():
            return delete_old(self._core.store, query, older)

    def counts(self, by: str = "job") -> dict[str, dict[Status, int]]:
        """Returns how many jobs there are in each status, by the name of the `"job"` or by the `"queue"`.

        It reads all jobs: ten million take some 15 seconds.
        """
        if not isinstance(by, str) or by not in COUNTED_BY:
            raise InvalidOptionError(f'option by must be "job" or "queue", not {by!r:.60}')
        with translated():
            return count_all(self._core.store.jobs.collection, COUNTED_BY[by]).found

    def failures(self, since: Seconds | datetime | None = None, job: Any = None, limit: int = 100) -> list[Failure]:
        """Counts the jobs that ended FAILED or TIMEOUT by the mistake that made them fail, the most frequent first.

        One mistake is one class, type of exception and place in the job's own code. `job` names one class. `since` is
        an aware datetime, or seconds or a timedelta before now: only jobs that failed after that are counted. Returns
        at most `limit` mistakes, 1 to 1000: those seen last. Counts have a limit, see `Failure.count`.
        """
        earliest = None if since is None else past("since", since)
        name, most = None if job is None else job_name(job), integer("limit", limit, least=1, most=1000)
        with translated():
            store = self._core.store
            if isinstance(earliest, timedelta):
                earliest = store.clock.now() - earliest
            return FailureCounts(store.database, store.options).newest(earliest, name, most)

    def stats(self) -> dict[str, Any]:
        """Returns jobs per status, queues, nodes and their slots, all as numbers and texts: `operations.stats`."""
        return statistics(ClusterOverview(self._core.store.database, self._core.connection.options))


def _of_job(job: Any) -> dict[str, Any]:
    """Returns the query for all jobs of a class, or for all jobs."""
    return {} if job is None else {"class": job_name(job)}
