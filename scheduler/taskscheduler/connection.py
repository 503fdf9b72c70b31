"""The connection of a scheduler: which database it uses; opened on first use, and anew in a forked child."""

from __future__ import annotations

import os
import threading
from typing import Any

from taskscheduler import embedded
from taskscheduler.clock import Clock
from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.document import Document
from taskscheduler.model.options import SchedulerOptions
from taskscheduler.store import Store
from taskscheduler.store.client import Database, close, connect

URI_VARIABLE = "TASKSCHEDULER_URI"


class Connection:
    """Opens the store on first use, by the options of the scheduler, and closes what it has opened."""

    def __init__(self, source: Database[Any] | str | None, options: SchedulerOptions, clock: Clock) -> None:
        if source is not None and not isinstance(source, Database | str):
            raise InvalidOptionError(
                f"the first argument must be a pymongo Database or a mongodb:// URI, not {type(source).__name__}"
            )
        self.options = options  #: those in use; see `use`
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._store: Store | None = None
        self._database: Database[Document] | None = None
        self._owned = False
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

    def _opened(self, options: SchedulerOptions) -> Store:
        if self._pid != os.getpid():
            # a client does not survive a fork: the child leaves it alone and opens its own
            self._store, self._database, self._server = None, None, None
            self._pid = os.getpid()
        if self._store is None or self._store.options is not options:
            if self._store is not None:
                self._store.close()
            try:
                self._store = Store(self._open(), options, self._clock)
            except BaseException:
                self.close()
                raise
        return self._store

    def _open(self) -> Database[Document]:
        if self._database is None:
            source = self._source
            if source is None:
                source = os.environ.get(URI_VARIABLE) or self._embedded()
            self._owned = isinstance(source, str)
            self._database = connect(source) if isinstance(source, str) else source
        return self._database

    def _embedded(self) -> str:
        former, self._server = self._server, embedded.acquire()
        if former is not None:
            former.release()
        return self._server.uri

    def disconnect(self) -> None:
        """Closes the client if it was opened here, but keeps the share of the embedded server."""
        if self._pid == os.getpid():
            if self._store is not None:
                self._store.close()
            if self._owned and self._database is not None:
                close(self._database)
        self._store, self._database = None, None

    def close(self) -> None:
        """Closes the client and releases the embedded server, as far as they were opened here."""
        self.disconnect()
        if self._server is not None and self._pid == os.getpid():
            self._server.release()
        self._server = None
