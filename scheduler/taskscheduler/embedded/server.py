"""Joins the embedded server, starts it when needed, and leaves it again."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from taskscheduler.clock import Deadline
from taskscheduler.embedded.launcher import launch_keeper
from taskscheduler.embedded.locks import POLL_SECONDS, FileLock, StartTimeout
from taskscheduler.embedded.replica_set import Access, access_to
from taskscheduler.embedded.state_dir import DATABASE, ServerAddress, StateDir, last_line, log_size, open_state_dir
from taskscheduler.embedded.users import ServerUser, join_users
from taskscheduler.errors import EmbeddedServerError

logger = logging.getLogger(__name__)


class EmbeddedServer:
    """A running server that stays until `release` or longer; also a context manager."""

    def __init__(self, state_dir: Path, address: ServerAddress, key: str | None, user: ServerUser) -> None:
        self.state_dir = state_dir
        self.address = address
        self._key = key
        self._user = user
        self._mutex = threading.Lock()
        self._released = False

    @property
    def uri(self) -> str:
        """The MongoDB URI, with the password, the database `taskscheduler` and the replica set."""
        return self.uri_of(DATABASE)

    def uri_of(self, database: str) -> str:
        """Returns the MongoDB URI of another database; it has the password, too."""
        return self.address.uri_of(database, self._key)

    def release(self) -> None:
        """Gives up the use of the server, which stops after its last user. Further calls do nothing."""
        with self._mutex:
            released, self._released = self._released, True
        if not released:
            self._user.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<EmbeddedServer {self.address.host}:{self.address.port} in {self.state_dir}>"


class _AcquireTimeout(StartTimeout):
    """The time that the server may take to be ready for this process."""

    def __init__(self, state: StateDir, seconds: float) -> None:
        super().__init__(seconds)
        self._state = state
        self._seconds = seconds
        # what is there already is about earlier servers; that of mongod says what a start is waiting for
        self._logs = [(log, log_size(log)) for log in (state.mongod_log, state.keeper_log)]
        self._reports = [(Deadline(after), report) for after, report in ((1.0, self._name), (5.0, self._explain))]

    def pause(self, seconds: float = POLL_SECONDS) -> None:
        """Waits as StartTimeout does, and logs what it waits for if that takes long."""
        while self._reports and self._reports[0][0].passed:
            self._reports.pop(0)[1]()
        super().pause(seconds)

    def _name(self) -> None:
        logger.info("waiting for the embedded MongoDB server in %s", self._state.root)

    def _explain(self) -> None:
        logger.warning("the embedded MongoDB server is not ready yet; last log line: %s", self._last_line())

    def _last_line(self) -> str:
        found = (last_line(log, start) for log, start in self._logs)
        return next(filter(None, found), "nothing was logged yet")

    def failure(self) -> str:
        keeper_log, mongod_log = self._state.keeper_log, self._state.mongod_log
        return (
            f"the embedded MongoDB server was not ready within {self._seconds:g} s; last log line: {self._last_line()} "
            f"(logs: {keeper_log} and {mongod_log})"
        )


def acquire(state_dir: Path | str | None = None, timeout: float = 30) -> EmbeddedServer:
    """Returns the server of `state_dir` (see `default_state_dir`) as a writable primary, and starts it if needed.

    Raises EmbeddedServerError when it cannot be started here or is not ready within `timeout` seconds.
    """
    state = open_state_dir(state_dir)
    within = _AcquireTimeout(state, timeout)
    try:
        user = join_users(state, within)
        try:
            return EmbeddedServer(state.root, *_ensure_running(state, within), user)
        except BaseException:
            user.release()
            raise
    except OSError as error:
        raise EmbeddedServerError(f"the embedded MongoDB server cannot use {state.root}: {error}") from error


def _ensure_running(state: StateDir, timeout: StartTimeout) -> tuple[ServerAddress, str | None]:
    while True:
        if _has_no_keeper(state):
            _start(state, timeout)
        address = state.published()
        access = Access.NONE if address is None else access_to(address.port)
        if address is not None and access is Access.FREE:  # of a version that set no password
            return address, None
        if address is not None and access is Access.GUARDED:
            return address, _readable_key(state)
        timeout.pause()


def _readable_key(state: StateDir) -> str:
    key = state.key()
    if key is None:
        raise EmbeddedServerError(
            f"the key of the running embedded server cannot be read from {state.key_file}; end the programs that use "
            "the server, and the next start makes a new key"
        )
    return key


def _start(state: StateDir, timeout: StartTimeout) -> None:
    # One starter at a time: the others wait here and then find what the first has started.
    starting = FileLock(state.start_lock)
    try:
        starting.wait_exclusive(timeout)
        if _has_no_keeper(state):
            launch_keeper(state, timeout)
    finally:
        starting.unlock()


def _has_no_keeper(state: StateDir) -> bool:
    keeper = FileLock(state.keeper_lock)
    if not keeper.try_exclusive():
        keeper.close()
        return False
    state.withdraw()  # the address of a keeper that was killed
    keeper.unlock()
    return True
