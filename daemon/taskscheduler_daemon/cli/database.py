"""Opens the database of a command: that of `--uri`, of the environment, or of the embedded server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.connection import URI_VARIABLE, logger, warn_of_hidden_jobs
from taskscheduler.embedded import EmbeddedDatabase, acquire, default_state_dir
from taskscheduler.model.audit.actors import COMMAND_LINE, Actor
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.operations.audit.acting import acting_as
from taskscheduler.process_identity import this_user
from taskscheduler.scheduler import Scheduler
from taskscheduler.slow_connection import SlowConnection
from taskscheduler.store.client import check_server, connect
from taskscheduler.store.job_lists import JobLists
from taskscheduler.store.migration.migrations import MigrationStore
from taskscheduler.store.overview import ClusterOverview
from taskscheduler_daemon.cli.settings import Settings
from taskscheduler_daemon.presentation.text import shown

#: for commands that only read: soon enough for a health check, and before the reason that the error repeats is printed
_SELECTION_TIMEOUT_MS = 4500


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
    """Opens a scheduler and a view of its database, on behalf of the user of this command; closes both at the end."""
    with acting_as(Actor(this_user(), via=COMMAND_LINE), settings.reason), serve_database(settings) as database:
        yield database


@contextmanager
def serve_database(settings: Settings) -> Iterator[OpenDatabase]:
    """Does the same for a program that acts for itself, or for others."""
    with Scheduler(chosen_place(settings), options=settings.collections) as scheduler:
        store = scheduler.store
        yield OpenDatabase(store.overview, JobLists(store.database, store.options, store.on_demand), scheduler)


@contextmanager
def view_database(settings: Settings) -> Iterator[DatabaseView]:
    """Opens a view of the database. It creates nothing, and gives up soon if no server answers."""
    options = SchedulerOptions.of(settings.collections)
    with chosen_uri(settings) as uri:
        database = connect(uri, serverSelectionTimeoutMS=_SELECTION_TIMEOUT_MS)
        try:
            if given_uri(settings) is None:
                warn_of_hidden_jobs(database, options)
            with SlowConnection(database, logger):
                yield DatabaseView(ClusterOverview(database, options), JobLists(database, options))
        finally:
            database.client.close()


@contextmanager
def open_migration(settings: Settings, all_indexes: bool = False) -> Iterator[MigrationStore]:
    """Opens the migration of the database. It changes nothing by itself, and waits as long as an index takes."""
    options = SchedulerOptions.of(settings.collections)
    with chosen_uri(settings) as uri:
        database = connect(uri, overrule=True, serverSelectionTimeoutMS=_SELECTION_TIMEOUT_MS, socketTimeoutMS=None)
        try:
            with SlowConnection(database, logger):
                check_server(database, SYSTEM_CLOCK)
            yield MigrationStore(database, options, all_indexes)
        finally:
            database.client.close()


@contextmanager
def chosen_uri(settings: Settings) -> Iterator[str]:
    """Gives the URI that was chosen, or that of the embedded server, which then runs until the end."""
    place = chosen_place(settings)
    if isinstance(place, str):
        yield place
        return
    with acquire() as server:
        yield server.uri_of(place.name)


def chosen_place(settings: Settings) -> str | EmbeddedDatabase:
    """Returns the URI that was given, else the database of this project on the embedded server."""
    return given_uri(settings) or EmbeddedDatabase.chosen()


def described(place: str | EmbeddedDatabase) -> str:
    """Words where the jobs are, without a password."""
    if isinstance(place, str):
        return shown(place)
    return f"database {place.name} on the embedded server in {default_state_dir()}"


def node_command(settings: Settings) -> str:
    """Returns the command that starts a node on this database: `dev` on the embedded server."""
    return f"taskscheduler {'dev' if given_uri(settings) is None else 'node'} --jobs yourapp.jobs"


def given_uri(settings: Settings) -> str | None:
    """Returns the URI that was given as an option or in the environment."""
    return settings.uri or os.environ.get(URI_VARIABLE) or None
