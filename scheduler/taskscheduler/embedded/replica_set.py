"""How a mongod becomes, and stays, the one writable member of its replica set."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from taskscheduler.embedded.locks import StartTimeout
from taskscheduler.embedded.mongod import Mongod
from taskscheduler.embedded.state_dir import HOST, REPLICA_SET

_CONNECT_SECONDS = 0.5

_ANSWER_MILLISECONDS = 5000


@contextmanager
def direct_client(port: int) -> Iterator[MongoClient[dict[str, Any]]]:
    """A client for this one server, whatever its state; it gives up after seconds."""
    client: MongoClient[dict[str, Any]] = MongoClient(
        HOST,
        port,
        directConnection=True,
        serverSelectionTimeoutMS=1000,
        connectTimeoutMS=1000,
        socketTimeoutMS=_ANSWER_MILLISECONDS,
    )
    with client:
        yield client


def is_primary(port: int) -> bool:
    """True when a writable primary of our replica set answers on this port."""
    if not listens(port):
        return False
    try:
        with direct_client(port) as client:
            return _leads(client.admin.command("hello"))
    except PyMongoError:
        return False


def listens(port: int) -> bool:
    """True when some server accepts connections on this port."""
    # pymongo looks again only after half a second, so the first look is ours.
    try:
        with socket.create_connection((HOST, port), _CONNECT_SECONDS):
            return True
    except OSError:
        return False


def lead(mongod: Mongod, deadline: StartTimeout) -> str:
    """Make `mongod` a writable primary, initiating the replica set when it has none; gives mongod's version.

    Raises EmbeddedServerError when mongod ends or the deadline passes.
    """
    _await_listening(mongod, deadline)
    with direct_client(mongod.port) as client:
        while True:
            mongod.check()
            try:
                hello = client.admin.command("hello")
                if _leads(hello):
                    return str(client.server_info()["version"])
                # Also said while a stored configuration is being read; mongod refuses to initiate then.
                if hello.get("isreplicaset"):
                    client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [_member(mongod.port)]})
            except PyMongoError:
                pass  # not ready for us yet; `check` and the deadline end the asking
            deadline.pause()


def repoint(mongod: Mongod, deadline: StartTimeout) -> None:
    """Let the stored replica set configuration, if there is one, name the port of this unreplicated `mongod`.

    A member that runs in its set would first try to reach its old address, for half a minute if a stranger is there.
    """
    _await_listening(mongod, deadline)
    with direct_client(mongod.port) as client:
        while True:
            mongod.check()
            try:
                client.local["system.replset"].update_one({}, {"$set": {"members.0.host": f"{HOST}:{mongod.port}"}})
                return
            except PyMongoError:
                deadline.pause()


def _await_listening(mongod: Mongod, deadline: StartTimeout) -> None:
    while not listens(mongod.port):
        mongod.check()
        deadline.pause()


def _leads(hello: dict[str, Any]) -> bool:
    return bool(hello.get("isWritablePrimary")) and hello.get("setName") == REPLICA_SET


def _member(port: int) -> dict[str, Any]:
    return {"_id": 0, "host": f"{HOST}:{port}"}
