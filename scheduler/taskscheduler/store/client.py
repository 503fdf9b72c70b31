"""Opens connections to MongoDB and checks that the server can hold jobs; keeps passwords out of messages."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pymongo
from pymongo import MongoClient
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


def connect(uri: str, **settings: Any) -> Database[Document]:
    """Opens the database that `uri` names on a new client; InvalidOptionError if the URI is not usable.

    A setting applies unless the URI sets the same option.
    """
    try:
        parsed = parse_uri(uri, warn=False)
        name = parsed["database"]
        chosen = {key.lower() for key in parsed["options"]}
        ours = {key: value for key, value in {**_SETTINGS, **settings}.items() if key.lower() not in chosen}
        client: MongoClient[Document] = MongoClient(uri, **ours)
    except (InvalidURI, ConfigurationError, ValueError, OSError) as error:  # OSError: a file of certificates
        problem = _explain(uri, error)
    else:
        if name:
            return client[name]
        client.close()
        problem = "the URI must name a database: mongodb://host:port/DATABASE"
    raise InvalidOptionError(problem)  # here, so that the driver's error, which may quote a password, is not attached


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
    """Returns the driver's words about the URI without user and password; empty if it has no other fault."""
    scheme, separator, rest = uri.partition("://")
    try:
        parse_uri(scheme + separator + rest.rpartition("@")[2] if separator else uri.rpartition("@")[2], warn=False)
    except (InvalidURI, ConfigurationError, ValueError) as error:
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
