"""Decides what every request works with: the scheduler, a view of its database, and what may be posted."""

from __future__ import annotations

from dataclasses import dataclass

from bson import ObjectId
from bson.errors import InvalidId
from fastapi import Request

from taskscheduler.errors import JobNotFoundError
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler.store.job_lists import JobLists
from taskscheduler.store.overview import ClusterOverview
from taskscheduler_daemon.web.http.csrf import Csrf

BODY_SLACK = 64 * 1024  #: what a request may take beyond the data of a job


@dataclass(frozen=True, slots=True)
class WebContext:
    """What the endpoints share. Made once, used from many threads."""

    scheduler: Scheduler
    jobs: frozenset[str]  #: the registered names; nothing else can be posted
    csrf: Csrf

    @property
    def overview(self) -> ClusterOverview:
        store = self.scheduler.store
        return ClusterOverview(store.database, store.options, store.clock)

    @property
    def job_lists(self) -> JobLists:
        store = self.scheduler.store
        return JobLists(store.database, store.options)

    @property
    def most_bytes(self) -> int:
        """How large a request may be: JSON takes up to six times the bytes that it stands for."""
        return 6 * self.scheduler.options.max_payload + BODY_SLACK

    def job(self, identifier: str) -> Process:
        """The job with this id; JobNotFoundError also for what is no id."""
        return self.scheduler.get_job(object_id(identifier))


def object_id(identifier: str) -> ObjectId:
    """The id in a path; JobNotFoundError if it is none."""
    try:
        return ObjectId(identifier)
    except InvalidId:
        raise JobNotFoundError(identifier) from None


def site_of(request: Request) -> WebContext:
    """The site that a request came to."""
    site: WebContext = request.app.state.site
    return site
