"""Opens connections to MongoDB and checks that the server can hold jobs; keeps passwords out of messages."""

from __future__ import annotations

import logging
import os
import re
import threading
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from weakref import WeakValueDictionary

import pymongo
from bson import Timestamp
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.database import AsyncDatabase as AsyncDatabase  # as below
from pymongo.database import Database as Database  # for modules outside that pass one on
from pymongo.errors import ConfigurationError, InvalidURI
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.uri_parser import parse_uri
from pymongo.write_concern import WriteConcern

from taskscheduler.clock import Clock, ServerClock
from taskscheduler.errors import InvalidOptionError, UnsupportedServerError
from taskscheduler.model.document import Document
from taskscheduler.model.payload import CODEC
from taskscheduler.store.driver_errors import translated

logger = logging.getLogger(__name__)

_SECRETS = re.compile("password|token|properties|key", re.IGNORECASE)

_FILE_OPTIONS = {"tlscafile", "tlscertificatekeyfile", "tlscrlfile"}

MINIMUM_WIRE_VERSION = 13  #: MongoDB 5.0

SMALLEST_POOL = 12  #: connections that a client needs if the streams of a scheduler and its twin share it with calls

#: any number of streams may wait at once
_UNLIMITED: dict[str, Any] = {"connect": False, "maxPoolSize": None, "minPoolSize": 0}

#: used unless the URI sets them
_SETTINGS: dict[str, Any] = {
    "serverSelectionTimeoutMS": 15_000,
    "socketTimeoutMS": 20_000,  # after this a primary counts as dead that hangs without closing its connections
    "appname": "taskscheduler",
}

FAREWELL = 2.0  #: seconds that closing may take when the server is away

#: a write counts once a majority has it in its journal; after 10 s without an answer it raises
DURABLE = WriteConcern(w="majority", j=True, wtimeout=10_000)

#: for writes that may be lost: they only save time
PROMPT = WriteConcern(w=1)

#: the same, but in the journal at once: change streams show nothing else, and the server writes it only every 100 ms
VISIBLE = WriteConcern(w=1, j=True)


def connect(uri: str, overrule: bool = False, **settings: Any) -> Database[Document]:
    """Opens the database that `uri` names on a new client; InvalidOptionError if the URI is not usable.

    A setting applies unless the URI sets the same option; with `overrule` the given ones apply in any case.
    """
    try:
        parsed = parse_uri(uri, warn=False)
        name = parsed["database"]
        chosen = {key.lower() for key in parsed["options"]}
        firm = settings if overrule else {}
        ours = {key: value for key, value in {**_SETTINGS, **settings}.items() if key.lower() not in chosen} | firm
        client: MongoClient[Document] = MongoClient(uri, **ours)
    except (InvalidURI, ConfigurationError, ValueError, OSError) as error:  # OSError: a file of certificates
        problem = _explain(uri, error)
    else:
        if name:
            return client[name]
        client.close()
        problem = "the URI must name a database: mongodb://host:port/DATABASE"
    raise InvalidOptionError(problem)  # here, so that the driver's error, which may quote a password, is not attached


def connect_async(uri: str) -> AsyncDatabase[Document]:
    """Opens the database that a URI names on a client for the running event loop, with the settings of `connect`."""
    parsed = parse_uri(uri, warn=False)
    chosen = {key.lower() for key in parsed["options"]}
    ours = {key: value for key, value in _SETTINGS.items() if key.lower() not in chosen}
    client: AsyncMongoClient[Document] = AsyncMongoClient(uri, **ours)
    return client[parsed["database"]].with_options(codec_options=CODEC, write_concern=DURABLE)


def close(database: Database[Document]) -> None:
    """Closes the client of a database, within 2 s even if the server is away."""
    with pymongo.timeout(FAREWELL):
        database.client.close()


def _explain(uri: str, error: Exception) -> str:
    """Words the error of an unusable URI; without the driver's words where these may quote a secret."""
    reason = str(error)
    if isinstance(error, OSError):
        reason = _unreadable_file(uri) or error.strerror or reason
    elif _SECRETS.search(uri.rpartition("@")[2]):
        reason = "one of its options is not usable"
    elif "@" in uri:
        reason = _wrong_without_credentials(uri) or "its user or password must be percent-encoded"
    return f"{redacted(uri)!r} is not a usable MongoDB URI: {reason}"


def _unreadable_file(uri: str) -> str | None:
    """Names the certificate file that cannot be read; since PyMongo 4.20 its own error does not."""
    for option, path in parse_qsl(uri.partition("?")[2]):
        if option.lower() in _FILE_OPTIONS:
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                return f"{path}: {error.strerror}"
    return None


def _wrong_without_credentials(uri: str) -> str:
    """Returns the driver's words about the URI with another user and password; empty if it has no other fault."""
    scheme, separator, rest = uri.partition("://")
    other = f"{scheme}://user:password@{rest.rpartition('@')[2]}" if separator else uri.rpartition("@")[2]
    try:
        parse_uri(other, warn=False)
        MongoClient(other, connect=False).close()  # some options are checked only here
    except (InvalidURI, ConfigurationError, ValueError, OSError) as error:
        return str(error)
    return ""


def redacted(uri: str) -> str:
    """Returns the URI without its password, and without its options where one of them may be a secret."""
    credentials, at, rest = uri.rpartition("@")
    place, question, query = rest.partition("?")
    return _without_credentials(credentials + at + place) + question + ("..." if _SECRETS.search(query) else query)


def _without_credentials(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    credentials, at, host = rest.rpartition("@")
    if separator and at:
        return f"{scheme}{separator}{credentials.partition(':')[0]}:***@{host}"
    return "***@" + uri.rpartition("@")[2] if "@" in uri else uri


def durable(database: Database[Document]) -> Database[Document]:
    """Returns the same database with the settings that all guarantees need, whatever the caller's client uses."""
    return database.with_options(
        codec_options=CODEC,
        write_concern=DURABLE,
        read_concern=ReadConcern("local"),
        read_preference=ReadPreference.PRIMARY,
    )


def check_server(database: Database[Document], clock: Clock) -> ServerClock:
    """Returns the server's clock; UnsupportedServerError unless it is a replica set or a mongos of at least 5.0."""
    with translated():
        hello = database.command("hello")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise UnsupportedServerError(
            "the MongoDB server is not a replica set, which durable writes and wake-ups need; start it with "
            "--replSet rs0 and run rs.initiate() once (a set of one member is fine)"
        )
    if hello.get("maxWireVersion", 0) < MINIMUM_WIRE_VERSION:
        raise UnsupportedServerError("the MongoDB server is too old: 5.0 or newer is needed")
    server_now = hello.get("localTime")
    if not isinstance(server_now, datetime):
        return ServerClock(clock, clock.now())
    return ServerClock(clock, server_now if server_now.tzinfo else server_now.replace(tzinfo=UTC))


class StreamDatabase:
    """Gives streams a database. A stream holds a connection for as long as it waits for the next change."""

    def __init__(self, database: Database[Document], uri: str | None) -> None:
        self._database = durable(database)
        self._uri = uri  #: None if the client is the caller's, whom other schedulers may share
        self._lock = threading.Lock()
        self._own: Database[Document] | None = None
        self._second: _SecondClient | None = None

    def for_many(self) -> Database[Document]:
        """Returns the database for any number of streams: on a client of their own whose pool has no limit.

        InvalidOptionError if the client was given, the driver cannot make another one like it, and its pool is small.
        """
        with self._lock:
            if self._own is None:
                self._own = self._opened()
            return self._own

    def _opened(self) -> Database[Document]:
        if self._uri is not None:
            return durable(connect(self._uri, overrule=True, **_UNLIMITED))
        self._second = _second_clients.use(self._database.client)
        if self._second is not None:
            return durable(self._second.client[self._database.name])
        if self._has_room():
            return self._database
        raise InvalidOptionError(
            f"the client of this database has maxPoolSize={self._pool_size}, too few connections to wait or listen "
            f"with: allow at least {SMALLEST_POOL}, or pass the URI instead of the database"
        )

    def for_few(self) -> Database[Document]:
        """Returns the database for a stream of which a scheduler has a few only: they share its client if they can.

        Of several schedulers on one client that was given, the streams of the first one share it. InvalidOptionError
        as for many.
        """
        shares = self._has_room() and (self._uri is not None or _second_clients.is_first(self, self._database.client))
        return self._database if shares else self.for_many()

    @property
    def _pool_size(self) -> float | None:
        size: float | None = self._database.client.options.pool_options.max_pool_size
        return size

    def _has_room(self) -> bool:
        return not self._pool_size or self._pool_size >= SMALLEST_POOL

    def now(self) -> Timestamp:
        """Returns a time of the oplog: every change from here on is later. Raises the driver's errors."""
        time: Timestamp = self._database.command("ping")["operationTime"]
        return time

    def close(self) -> None:
        """Closes the client of the streams, within 2 s even if the server is away, unless others use it."""
        with self._lock:
            own, second, self._own, self._second = self._own, self._second, None, None
        _second_clients.forget(self, self._database.client)
        if second is not None:
            _second_clients.leave(second)
        elif own is not None and own.client is not self._database.client:
            close(own)


class _SecondClient:
    """A client like one that was given, and how many schedulers have streams on it."""

    def __init__(self, given: MongoClient[Document], client: MongoClient[Document]) -> None:
        self.given = given  #: kept, so that no other client gets its identity
        self.client = client
        self.users = 0


class _SecondClients:
    """The clients that streams have beside those that callers gave: one for each, which all schedulers on it share."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        # by identity: the driver takes two clients of the same servers for equal, whatever their settings
        self._clients: WeakValueDictionary[int, _SecondClient] = WeakValueDictionary()
        self._first: WeakValueDictionary[int, StreamDatabase] = WeakValueDictionary()

    def _after_fork(self) -> None:
        if self._pid != os.getpid():
            self._reset()  # clients do not survive a fork, and the lock may seem to be held for ever

    def use(self, given: MongoClient[Document]) -> _SecondClient | None:
        """Returns the second client of a client; None if the driver cannot make one."""
        self._after_fork()
        with self._lock:
            second = self._clients.get(id(given))
            if second is None:
                # as the driver itself does for encryption; nothing else knows all settings and the password
                duplicate = getattr(given, "_duplicate", None) if isinstance(given, MongoClient) else None
                if duplicate is None:
                    return None
                second = self._clients[id(given)] = _SecondClient(given, duplicate(**_UNLIMITED))
            second.users += 1
            return second

    def leave(self, second: _SecondClient) -> None:
        """Closes a second client after its last user."""
        self._after_fork()
        with self._lock:
            second.users -= 1
            is_unused = second.users == 0
            if is_unused and self._clients.get(id(second.given)) is second:
                del self._clients[id(second.given)]
        if is_unused:
            close(second.client["admin"])

    def is_first(self, streams: StreamDatabase, given: MongoClient[Document]) -> bool:
        """Returns whether these are the streams that share a client that was given."""
        self._after_fork()
        with self._lock:
            return self._first.setdefault(id(given), streams) is streams

    def forget(self, streams: StreamDatabase, given: MongoClient[Document]) -> None:
        """Lets the streams of another scheduler share the client."""
        self._after_fork()
        with self._lock:
            if self._first.get(id(given)) is streams:
                del self._first[id(given)]


_second_clients = _SecondClients()


def within(seconds: float) -> AbstractContextManager[None]:
    """Around operations that may take so many seconds together; then they raise."""
    return pymongo.timeout(seconds)
