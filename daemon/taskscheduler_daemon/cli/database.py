"""Opens the database of a command: that of `--uri`, of the environment, or of the embedded server."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
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

_SELECTION_TIMEOUT_MS = 5000  #: for commands that only read: soon enough for a health check


@dataclass(frozen=True, slots=True)
class DatabaseView:
    """A database that a command only reads."""

    overview: ClusterOverview
    job_lists: JobLists


@dataclass(frozen=True, slots=True)
class OpenDatabase(DatabaseView):
    """A database that a command reads and writes."""

    scheduler: Scheduler


@contextmanager
def open_database(settings: Settings) -> Iterator[OpenDatabase]:
    """Opens a scheduler and a view of its database; closes both at the end."""
    with Scheduler(given_uri(settings), options=settings.collections) as scheduler:
        store = scheduler.store
        overview = ClusterOverview(store.database, store.options, store.clock)
        yield OpenDatabase(overview, JobLists(store.database, store.options), scheduler)


@contextmanager
def view_database(uri: str, collections: Mapping[str, str]) -> Iterator[DatabaseView]:
    """Opens a view of a database. It creates nothing, and gives up soon if no server answers."""
    database = connect(uri, serverSelectionTimeoutMS=_SELECTION_TIMEOUT_MS)
    try:
        options = SchedulerOptions.of(collections)
        yield DatabaseView(ClusterOverview(database, options), JobLists(database, options))
    finally:
        database.client.close()


@contextmanager
def chosen_uri(settings: Settings) -> Iterator[str]:
    """Gives the URI that was chosen, or that of the embedded server, which then runs until the end."""
    uri = given_uri(settings)
    if uri is not None:
        yield uri
        return
    with acquire() as server:
        yield server.uri


def given_uri(settings: Settings) -> str | None:
    """Returns the URI that was given as an option or in the environment."""
    return settings.uri or os.environ.get(URI_VARIABLE) or None
