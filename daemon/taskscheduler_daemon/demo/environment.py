"""Decides what the demo sets up and how all of it is taken down again: directory, servers, node, in this order.

Everything is kept in one temporary directory, also the database, so that nothing of the user's is touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from taskscheduler.embedded import EmbeddedServer, acquire
from taskscheduler.embedded.locks import FileLock, StartTimeout
from taskscheduler.errors import EmbeddedServerError, SchedulerError
from taskscheduler_daemon.demo.fake_servers import FakeHttpServer, FakeMailServer, serving
from taskscheduler_daemon.system.kill import kill, kill_tree

_MB = 1_000_000

_DOWNLOAD_MB = 8

_NODE_ENDS_WITHIN = 10.0

_SERVER_ENDS_WITHIN = 20.0

_KILLED_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the jobs find what they work on."""

    directory: Path
    smtp_port: int
    http_port: int

    @property
    def inbox(self) -> Path:
        return self.directory / "inbox"

    @property
    def mails(self) -> Path:
        return self.directory / "mails"


@contextmanager
def work_directory() -> Iterator[Path]:
    """A temporary directory that is gone at the end."""
    directory = Path(tempfile.mkdtemp(prefix="taskscheduler-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def staged(directory: Path) -> Iterator[Environment]:
    """The directories and the servers that the jobs talk to."""
    for name in ("inbox", "mails"):
        (directory / name).mkdir()
    mails, files = FakeMailServer(directory / "mails"), FakeHttpServer(os.urandom(_MB) * _DOWNLOAD_MB)
    with serving(mails) as smtp_port, serving(files) as http_port:
        yield Environment(directory, smtp_port, http_port)


@contextmanager
def embedded_server(state_dir: Path) -> Iterator[EmbeddedServer]:
    """A server that keeps its data in this directory, and has ended when this returns or raises."""
    server = None
    try:
        server = acquire(state_dir)
        yield server
    finally:
        if server is not None:
            server.release()
        _await_end(state_dir, server)


def _await_end(state_dir: Path, server: EmbeddedServer | None) -> None:
    """Wait until the server is gone, and make it go if that takes too long."""
    if not state_dir.is_dir() or _has_ended(state_dir, _SERVER_ENDS_WITHIN) or server is None:
        return
    kill(server.address.mongod_pid)  # its keeper follows
    if not _has_ended(state_dir, _KILLED_WITHIN):
        kill(server.address.keeper_pid)


def _has_ended(state_dir: Path, within: float) -> bool:
    """Whether the server's keeper, who ends after it, lets go of the lock that it holds for as long as it lives."""
    lock = FileLock(state_dir / "keeper.lock")
    try:
        lock.wait_exclusive(StartTimeout(within, "it still runs"))
    except EmbeddedServerError:
        return False
    finally:
        lock.close()
    return True


class Node:
    """The queue node: a child process in a session of its own, so that Ctrl-C reaches only the demo."""

    def __init__(self, uri: str, directory: Path) -> None:
        self.log = directory / "node.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                # -P: nothing in the directory may be taken for a module
                [sys.executable, "-P", "-m", "taskscheduler_daemon.demo.node", uri, str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)},
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise SchedulerError if it has ended by itself."""
        code = self.process.poll()
        if code is not None:
            lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
            said = lines[-1] if lines else "it left no message"
            raise SchedulerError(f"the demo's queue node ended by itself with code {code}: {said}")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to whatever is left of it after a while."""
        self.process.terminate()
        try:
            self.process.wait(_NODE_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            kill_tree(self.process.pid)
            self.process.wait()


@contextmanager
def queue_node(uri: str, directory: Path) -> Iterator[Node]:
    """A node that runs the demo's jobs, and has ended when this returns."""
    node = Node(uri, directory)
    try:
        yield node
    finally:
        node.stop()
