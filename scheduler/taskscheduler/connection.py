"""The connection of a scheduler: which database it uses; opened on first use, and anew in a forked child."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import ExitStack
from typing import Any, TypeAlias

from taskscheduler import embedded
from taskscheduler.clock import Clock
from taskscheduler.embedded import DATABASE_VARIABLE, EmbeddedDatabase
from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.document import Document
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.slow_connection import SlowConnection
from taskscheduler.store import Store
from taskscheduler.store.client import AsyncDatabase, Database, StreamDatabase, close, connect, connect_async
from taskscheduler.store.job_lists import JobLists

URI_VARIABLE = "TASKSCHEDULER_URI"

Source: TypeAlias = Database[Any] | str | EmbeddedDatabase  #: where the jobs of a scheduler are

logger = logging.getLogger(__name__)


class Connection:
    """Opens the store on first use, by the options of the scheduler, and closes what it has opened."""

    def __init__(self, source: Source | None, options: SchedulerOptions, clock: Clock) -> None:
        if source is not None and not isinstance(source, Database | str | EmbeddedDatabase):
            raise InvalidOptionError(
                f"the first argument must be a pymongo Database or a mongodb:// URI, not {type(source).__name__}"
            )
        self.options = options  #: those in use; see `use`
        self._source = source
        # now, as programs and jobs may leave their working directory before they use the scheduler
        undecided = source is None and not os.environ.get(URI_VARIABLE)
        self._default = EmbeddedDatabase.chosen() if undecided else None
        self._clock = clock
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._store: Store | None = None
        self._database: Database[Document] | None = None
        self._streams: StreamDatabase | None = None
        self._owned = False
        self._uri: str | None = None  #: None if the database was given
        self._server: embedded.EmbeddedServer | None = None
        if isinstance(source, str):
            close(connect(source, connect=False))  # a bad URI fails here, not at first use

    def use(self, options: SchedulerOptions) -> None:
        """Uses these options from now on."""
        self.options = options

    @property
    def store(self) -> Store:
        """The store for this process and its options. Raises the errors of the database or embedded server."""
        if self._store is not None and self._store.options is self.options and self._pid == os.getpid():
            return self._store
        if self._pid != os.getpid():
            self._lock = threading.Lock()  # in a forked child another thread may seem to hold it for ever
        with self._lock:
            return self._opened(self.options)

    def open_for_loop(self) -> AsyncDatabase[Document]:
        """Returns the same database on a client for an event loop, which the caller closes.

        InvalidOptionError if the scheduler was given a Database, as the driver makes no other client of that.
        """
        _ = self.store
        if self._uri is None:
            raise InvalidOptionError(
                "the database for an event loop needs a scheduler that was given a URI, not a pymongo Database"
            )
        return connect_async(self._uri)

    def _opened(self, options: SchedulerOptions) -> Store:
        if self._pid != os.getpid():
            # a client does not survive a fork: the child leaves it alone and opens its own
            self._store, self._database, self._streams, self._server = None, None, None, None
            self._pid = os.getpid()
        if self._store is None or self._store.options is not options:
            if self._store is not None:
                self._store.close()
            try:
                self._store = self._open_store(options)
            except BaseException:
                self.close()
                raise
        return self._store

    def _open_store(self, options: SchedulerOptions) -> Store:
        if self._database is not None and self._streams is not None:
            return Store(self._database, self._streams, options, self._clock)
        database, streams = self._database, self._streams = self._open()
        with SlowConnection(database, logger):
            store = Store(database, streams, options, self._clock)
        if self._server is not None:
            warn_of_hidden_jobs(database, options)
        return store

    def _open(self) -> tuple[Database[Document], StreamDatabase]:
        source = self._source
        if source is None:
            source = os.environ.get(URI_VARIABLE) or self._default or EmbeddedDatabase.chosen()
        self._owned = not isinstance(source, Database)
        if isinstance(source, EmbeddedDatabase):
            source = self._embedded(source)
        self._uri = source if isinstance(source, str) else None
        database = connect(source) if isinstance(source, str) else source
        return database, StreamDatabase(database, source if isinstance(source, str) else None)

    def _embedded(self, database: EmbeddedDatabase) -> str:
        former, self._server = self._server, embedded.acquire()
        if former is not None:
            former.release()
        if self._source is None:
            _default_use.warn(self._server, database)
        return self._server.uri_of(database.name)

    def disconnect(self) -> None:
        """Closes the client if it was opened here, but keeps the share of the embedded server."""
        store, database, streams = self._store, self._database, self._streams
        self._store, self._database, self._streams = None, None, None
        if self._pid == os.getpid():
            with ExitStack() as steps:  # the last one first, and each also if one before it has raised
                if self._owned and database is not None:
                    steps.callback(close, database)
                if streams is not None:
                    steps.callback(streams.close)
                if store is not None:
                    steps.callback(store.close)

    def close(self) -> None:
        """Closes the client and releases the embedded server, as far as they were opened here."""
        server, self._server = self._server, None
        try:
            self.disconnect()
        finally:
            if server is not None and self._pid == os.getpid():
                server.release()


def warn_of_hidden_jobs(database: Database[Document], options: SchedulerOptions) -> None:
    """Warns if live jobs are in the database that was the default of all projects, unless a database was named."""
    if not os.environ.get(DATABASE_VARIABLE) and JobLists(database.client[embedded.DATABASE], options).has_live():
        logger.warning(
            "live jobs are in the database %s, which all projects shared in earlier versions; to reach them, set %s=%s",
            embedded.DATABASE,
            DATABASE_VARIABLE,
            embedded.DATABASE,
        )


class _DefaultUse:
    """Warns once in a process that it uses the embedded server because nobody named another one."""

    def __init__(self) -> None:
        self._warned = False

    def warn(self, server: embedded.EmbeddedServer, database: EmbeddedDatabase) -> None:
        """Says which data are used, and how to use others."""
        if not self._warned:
            self._warned = True
            logger.warning(
                "no MongoDB URI is given: using the embedded server of this user in %s, database %s; "
                "for another server, set %s",
                server.state_dir,
                database.name,
                URI_VARIABLE,
            )


_default_use = _DefaultUse()
