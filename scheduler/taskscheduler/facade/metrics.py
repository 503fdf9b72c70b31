"""Metrics: the methods of `scheduler.metrics`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from taskscheduler.declarations.registry import job_name
from taskscheduler.errors import InvalidOptionError
from taskscheduler.facade.methods import Methods
from taskscheduler.model.checks import Seconds, integer, past, queue_name, seconds
from taskscheduler.model.metrics.points import MetricPoint, MetricRow
from taskscheduler.operations.metrics import BY, Asked, Which, metric_points, metric_rows
from taskscheduler.store.driver_errors import translated

_AN_HOUR = 3600


class Metrics(Methods):
    """What nodes have counted: attempts by how they ended, how long they waited and how long they ran.

    Each node adds what it has counted about every 10 seconds. Minutes are kept for 72 hours, hours for 90 days.
    """

    def points(
        self,
        since: Seconds | datetime = _AN_HOUR,
        until: Seconds | datetime | None = None,
        step: Seconds | None = None,
        job: Any = None,
        queue: str | None = None,
    ) -> list[MetricPoint]:
        """Returns a point for each step of a time, oldest first, also for steps in which nothing was counted.

        `since` and `until`: aware datetimes, or seconds or timedeltas before now; without `until` it ends now. `step`:
        its length, whole minutes or whole hours; by default one that gives about a hundred points. `job` and `queue`:
        only this class, only this queue. InvalidOptionError, also for more than 1500 steps.
        """
        asked, which = _asked(since, until), _which(job, queue)
        length = None if step is None else round(seconds("step", step, least=1))
        with translated():
            return metric_points(self._core.store, asked, which, length)

    def totals(
        self,
        by: str = "job",
        since: Seconds | datetime = _AN_HOUR,
        until: Seconds | datetime | None = None,
        job: Any = None,
        queue: str | None = None,
        limit: int = 100,
    ) -> list[MetricRow]:
        """Returns what was counted in a time for each class (`by="job"`) or each queue (`by="queue"`).

        Those with the most attempts come first, at most `limit`, 1 to 1000. `since`, `until`, `job` and `queue`: as for
        `points`. Before the last 72 hours it counts whole hours. InvalidOptionError.
        """
        if not isinstance(by, str) or by not in BY:
            raise InvalidOptionError(f'option by must be "job" or "queue", not {by!r:.60}')
        asked, which = _asked(since, until), _which(job, queue)
        most = integer("limit", limit, least=1, most=1000)
        with translated():
            return metric_rows(self._core.store, asked, which, [by])[by][:most]


def _asked(since: Seconds | datetime, until: Seconds | datetime | None) -> Asked:
    return Asked(past("since", since), None if until is None else past("until", until))


def _which(job: Any, queue: str | None) -> Which:
    return Which(None if job is None else job_name(job), None if queue is None else queue_name("queue", queue))
