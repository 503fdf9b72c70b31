"""The context that all requests share: the scheduler, views of its database, and the jobs that may be posted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bson import ObjectId
from fastapi import Request

from taskscheduler.errors import FlowNotFoundError, InvalidOptionError, JobNotFoundError, SchedulerError
from taskscheduler.flow_state import RunningFlow
from taskscheduler.process import Process
from taskscheduler.scheduler import Scheduler
from taskscheduler.store.job_lists import JobLists
from taskscheduler.store.overview import ClusterOverview
from taskscheduler.store.web.job_pages import JobPages
from taskscheduler_daemon.web.http.access.policies import Access, UserAccess
from taskscheduler_daemon.web.http.csrf import Csrf
from taskscheduler_daemon.web.http.mounting import ROOT
from taskscheduler_daemon.web.live.feed import Feed

BODY_SLACK = 64 * 1024  #: bytes of a request beyond the data of a job


@dataclass(frozen=True, slots=True)
class WebContext:
    """The objects that all endpoints share; safe to use from many threads."""

    scheduler: Scheduler
    jobs: frozenset[str]  #: the registered names; nothing else can be posted
    csrf: Csrf
    feed: Feed  #: what changes, for live pages and streams
    access: Access  #: how it is known who sends a request
    root: str = ""  #: the path with which links begin

    @property
    def database(self) -> str:
        """The name of the database; empty as long as it was never reached."""
        try:
            return self.scheduler.store.database.name
        except SchedulerError:
            return ""

    @property
    def can_log_out(self) -> bool:
        """Whether people log in and out."""
        return isinstance(self.access, UserAccess)

    @property
    def overview(self) -> ClusterOverview:
        """Counts, queues and nodes."""
        return self.scheduler.store.overview

    @property
    def job_lists(self) -> JobLists:
        """Bounded lists of jobs."""
        store = self.scheduler.store
        return JobLists(store.database, store.options, store.on_demand)

    @property
    def job_pages(self) -> JobPages:
        """Pages of jobs by their ids."""
        store = self.scheduler.store
        return JobPages(store.database, store.options, store.on_demand)

    @property
    def most_bytes(self) -> int:
        """The largest request; JSON takes up to six times the bytes of the data that it encodes."""
        return 6 * self.scheduler.options.max_payload + BODY_SLACK

    def job(self, identifier: str) -> Process:
        """Returns the job with this id; raises JobNotFoundError also for a malformed id."""
        try:
            return self.scheduler.get_job(identifier)
        except InvalidOptionError:
            raise JobNotFoundError(identifier) from None

    def flow(self, identifier: str) -> RunningFlow:
        """Returns the flow with this id; raises FlowNotFoundError also for a malformed id."""
        return self.scheduler.flows.get(self.flow_id(identifier))

    def flow_id(self, identifier: str) -> ObjectId:
        """Returns the id of a flow; raises FlowNotFoundError for a malformed one."""
        if not ObjectId.is_valid(identifier):
            raise FlowNotFoundError(identifier)
        return ObjectId(identifier)


def context_of(request: Request) -> WebContext:
    """Returns the context of the application that a request came to."""
    context: WebContext = request.app.state.context
    root = request.scope.get(ROOT)
    return replace(context, root=root) if root else context
