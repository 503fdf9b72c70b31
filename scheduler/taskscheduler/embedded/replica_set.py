"""Makes a mongod the one writable member of its replica set."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from taskscheduler.embedded.locks import StartTimeout
from taskscheduler.embedded.mongod import Mongod
from taskscheduler.embedded.state_dir import HOST, LOGIN, REPLICA_SET, USER

_CONNECT_SECONDS = 0.5

_ANSWER_MILLISECONDS = 5000

_UNAUTHORIZED = 13


@contextmanager
def direct_client(port: int, key: str | None = None) -> Iterator[MongoClient[dict[str, Any]]]:
    """Opens a client for this one server in any state; its operations give up after 1 to 5 s."""
    login: dict[str, Any] = {} if key is None else {"username": USER, "password": key, **LOGIN}
    client: MongoClient[dict[str, Any]] = MongoClient(
        HOST,
        port,
        directConnection=True,
        serverSelectionTimeoutMS=1000,
        connectTimeoutMS=1000,
        socketTimeoutMS=_ANSWER_MILLISECONDS,
        **login,
    )
    with client:
        yield client


class Access(Enum):
    """What a server on a port is to a client without a password."""

    NONE = auto()  #: no writable primary of our replica set
    FREE = auto()  #: anybody may use it
    GUARDED = auto()  #: it demands a login


def access_to(port: int) -> Access:
    """Finds out what answers on this port."""
    if not listens(port):
        return Access.NONE
    try:
        with direct_client(port) as client:
            if not _leads(client.admin.command("hello")):
                return Access.NONE
            client.admin.command("listDatabases", nameOnly=True)
            return Access.FREE
    except OperationFailure as error:
        return Access.GUARDED if error.code == _UNAUTHORIZED else Access.NONE
    except PyMongoError:
        return Access.NONE


def listens(port: int) -> bool:
    """Whether a server accepts connections on this port."""
    # pymongo looks again only after half a second, so we look first.
    try:
        with socket.create_connection((HOST, port), _CONNECT_SECONDS):
            return True
    except OSError:
        return False


def lead(mongod: Mongod, timeout: StartTimeout) -> str:
    """Makes `mongod` a writable primary, initiates its replica set if needed, and returns mongod's version.

    Raises EmbeddedServerError when mongod ends or the time is over.
    """
    _await_listening(mongod, timeout)
    with direct_client(mongod.port, mongod.key) as client:
        while True:
            mongod.check()
            try:
                hello = client.admin.command("hello")
                if _leads(hello):
                    return str(client.server_info()["version"])
                # True also while mongod reads a stored configuration; then it refuses to initiate.
                if hello.get("isreplicaset"):
                    client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [_member(mongod.port)]})
            except PyMongoError:
                pass  # not ready yet; `check` and the timeout end the loop
            timeout.pause()


def repoint(mongod: Mongod, timeout: StartTimeout) -> None:
    """Writes the port of this unreplicated `mongod` to the stored replica set configuration, if there is one.

    A replicated member would first try its old address, for half a minute if another program listens there.
    """
    _await_listening(mongod, timeout)
    with direct_client(mongod.port, mongod.key) as client:
        while True:
            mongod.check()
            try:
                client.local["system.replset"].update_one({}, {"$set": {"members.0.host": f"{HOST}:{mongod.port}"}})
                return
            except PyMongoError:
                timeout.pause()


def _await_listening(mongod: Mongod, timeout: StartTimeout) -> None:
    while not listens(mongod.port):
        mongod.check()
        timeout.pause()


def _leads(hello: dict[str, Any]) -> bool:
    return bool(hello.get("isWritablePrimary")) and hello.get("setName") == REPLICA_SET


def _member(port: int) -> dict[str, Any]:
    return {"_id": 0, "host": f"{HOST}:{port}"}
