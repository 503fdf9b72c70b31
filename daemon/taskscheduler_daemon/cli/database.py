"""Decides how a command reaches the database: `--uri`, else the environment, else the embedded server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from taskscheduler.connection import URI_VARIABLE
from taskscheduler.embedded import acquire
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.scheduler import Scheduler
from taskscheduler.store.client import connect
from taskscheduler.store.job_lists import JobLists
from taskscheduler.store.overview import ClusterOverview
from taskscheduler_daemon.cli.settings import Settings

_PATIENCE_MS = 5000  #: for commands that only look: soon enough for a health check


@dataclass(frozen=True, slots=True)
class View:
    """What a command reads of a database."""

    overview: ClusterOverview
    job_lists: JobLists


@dataclass(frozen=True, slots=True)
class Opened(View):
    """What a command works with."""

    scheduler: Scheduler


@contextmanager
def opened(settings: Settings) -> Iterator[Opened]:
    """A scheduler and a view of its database; both are closed at the end."""
    with Scheduler(given_uri(settings)) as scheduler:
        store = scheduler.store
        overview = ClusterOverview(store.database, store.options, store.clock)
        yield Opened(overview, JobLists(store.database, store.options), scheduler)


@contextmanager
def looking(uri: str) -> Iterator[View]:
    """A view of a database in which nothing is created and which gives up soon."""
    database = connect(uri, serverSelectionTimeoutMS=_PATIENCE_MS)
    try:
        options = SchedulerOptions.of({})
        yield View(ClusterOverview(database, options), JobLists(database, options))
    finally:
        database.client.close()


@contextmanager
def chosen_uri(settings: Settings) -> Iterator[str]:
    """The URI that was chosen, or that of the embedded server, which then runs until the end."""
    uri = given_uri(settings)
    if uri is not None:
        yield uri
        return
    with acquire() as server:
        yield server.uri


def given_uri(settings: Settings) -> str | None:
    """The URI that was given as an option or in the environment."""
    return settings.uri or os.environ.get(URI_VARIABLE) or None
