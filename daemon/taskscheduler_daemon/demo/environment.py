"""Sets up what the demo needs and takes it down again: a directory, servers and a queue node.

Everything, the database too, lives in one temporary directory, so that the demo touches nothing of the user's.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from taskscheduler.connection import URI_VARIABLE
from taskscheduler.embedded import EmbeddedServer, acquire
from taskscheduler.embedded.locks import FileLock, StartTimeout
from taskscheduler.errors import EmbeddedServerError
from taskscheduler_daemon.demo.fake_servers import FakeHttpServer, FakeMailServer, serving
from taskscheduler_daemon.system.kill import kill
from taskscheduler_daemon.system.node_subprocess import NodeSubprocess

_MB = 1_000_000

_DOWNLOAD_MB = 8

_NODE = "taskscheduler_daemon.demo.node"

_SERVER_ENDS_WITHIN = 20.0

_KILLED_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Environment:
    """The directory and the servers that the jobs work with."""

    directory: Path
    smtp_port: int
    http_port: int

    @property
    def inbox(self) -> Path:
        """The directory that WatchDirectory watches and CleanTemp cleans."""
        return self.directory / "inbox"

    @property
    def mails(self) -> Path:
        """The directory to which the mail server writes."""
        return self.directory / "mails"


@contextmanager
def work_directory() -> Iterator[Path]:
    """Creates a temporary directory and removes it at the end."""
    directory = Path(tempfile.mkdtemp(prefix="taskscheduler-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def environment_in(directory: Path) -> Iterator[Environment]:
    """Creates the directories, and starts the servers that the jobs talk to."""
    for name in ("inbox", "mails"):
        (directory / name).mkdir()
    mails, files = FakeMailServer(directory / "mails"), FakeHttpServer(os.urandom(_MB) * _DOWNLOAD_MB)
    with serving(mails) as smtp_port, serving(files) as http_port:
        yield Environment(directory, smtp_port, http_port)


@contextmanager
def embedded_server(state_dir: Path) -> Iterator[EmbeddedServer]:
    """Runs a MongoDB server with its data in this directory; it has ended when the context is left."""
    server = None
    try:
        server = acquire(state_dir)
        yield server
    finally:
        if server is not None:
            server.release()
        _await_end(state_dir, server)


def _await_end(state_dir: Path, server: EmbeddedServer | None) -> None:
    """Waits until the server has ended, and kills it if that takes too long."""
    if not state_dir.is_dir() or _has_ended(state_dir, _SERVER_ENDS_WITHIN) or server is None:
        return
    kill(server.address.mongod_pid)  # its keeper follows
    if not _has_ended(state_dir, _KILLED_WITHIN):
        kill(server.address.keeper_pid)


def _has_ended(state_dir: Path, within: float) -> bool:
    """Returns whether the server's keeper, which ends last, has released the lock that it holds while it lives."""
    lock = FileLock(state_dir / "keeper.lock")
    try:
        lock.wait_exclusive(StartTimeout(within, "it still runs"))
    except EmbeddedServerError:
        return False
    finally:
        lock.close()
    return True


@contextmanager
def queue_node(uri: str, directory: Path) -> Iterator[NodeSubprocess]:
    """Runs a node for the demo's jobs, which logs to `node.log`; it has ended when the context is left."""
    with (
        (directory / "node.log").open("w+b") as log,
        NodeSubprocess(_NODE, [], log=log, environment={URI_VARIABLE: uri}, directory=directory) as node,
    ):
        yield node
