"""Who uses the embedded server: how a process takes part in it, starts it when needed, and leaves it again."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from taskscheduler.embedded.launcher import launch_keeper
from taskscheduler.embedded.locks import FileLock, StartTimeout
from taskscheduler.embedded.replica_set import is_primary
from taskscheduler.embedded.state_dir import ServerAddress, StateDir, last_line, open_state_dir
from taskscheduler.embedded.users import ServerUser, use
from taskscheduler.errors import EmbeddedServerError


class EmbeddedServer:
    """A running server that stays at least until `release`; also a context manager."""

    def __init__(self, state_dir: Path, address: ServerAddress, usage: ServerUser) -> None:
        self.state_dir = state_dir
        self.address = address
        self._usage = usage
        self._mutex = threading.Lock()
        self._released = False

    @property
    def uri(self) -> str:
        """The MongoDB URI, with the database name and the replica set."""
        return self.address.uri

    def release(self) -> None:
        """Say that this user needs the server no more; the last one's release stops it. Further calls do nothing."""
        with self._mutex:
            released, self._released = self._released, True
        if not released:
            self._usage.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<EmbeddedServer {self.uri} in {self.state_dir}>"


def acquire(state_dir: Path | None = None, timeout: float = 30) -> EmbeddedServer:
    """The server of `state_dir` (see `default_state_dir`), a writable primary, started when it does not run.

    Raises EmbeddedServerError when it cannot be started here or is not ready within `timeout` seconds.
    """
    state = open_state_dir(state_dir)
    deadline = StartTimeout(timeout, lambda: _too_slow(state, timeout))
    try:
        usage = use(state, deadline)
        try:
            return EmbeddedServer(state.root, _ensure_running(state, deadline), usage)
        except BaseException:
            usage.release()
            raise
    except OSError as error:
        raise EmbeddedServerError(f"the embedded MongoDB server cannot use {state.root}: {error}") from error


def _ensure_running(state: StateDir, deadline: StartTimeout) -> ServerAddress:
    while True:
        if _is_unkept(state):
            _start(state, deadline)
        address = state.published()
        if address is not None and is_primary(address.port):
            return address
        deadline.pause()


def _start(state: StateDir, deadline: StartTimeout) -> None:
    # One starter at a time: the others wait here and then find what the first has started.
    starting = FileLock(state.start_lock)
    try:
        starting.wait_exclusive(deadline)
        if _is_unkept(state):
            launch_keeper(state, deadline)
    finally:
        starting.unlock()


def _is_unkept(state: StateDir) -> bool:
    keeper = FileLock(state.keeper_lock)
    if not keeper.try_exclusive():
        keeper.close()
        return False
    state.withdraw()  # left behind by a keeper that was killed
    keeper.unlock()
    return True


def _too_slow(state: StateDir, timeout: float) -> str:
    said = last_line(state.keeper_log) or last_line(state.mongod_log) or "nothing was logged"
    return (
        f"the embedded MongoDB server was not ready within {timeout:g} s; last log line: {said} "
        f"(logs: {state.keeper_log} and {state.mongod_log})"
    )
