"""The detached process that starts the embedded server, and stops it after its last user.

    python -m taskscheduler.embedded.keeper STATE_DIR

It reports the start in one line on stdout: "ready", "busy" (there is a keeper already) or "failed REASON".
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from taskscheduler.embedded.binary import find_mongod
from taskscheduler.embedded.locks import FileLock, StartTimeout
from taskscheduler.embedded.mongod import Mongod, PortTakenError
from taskscheduler.embedded.replica_set import lead, listens, repoint
from taskscheduler.embedded.state_dir import HOST, REPLICA_SET, ServerAddress, StateDir, open_log, trim
from taskscheduler.errors import EmbeddedServerError

START_SECONDS = 120.0
LOCK_SECONDS = 1.0
PORT_ATTEMPTS = 3

_log = logging.getLogger("taskscheduler.embedded.keeper")


class Keeper:
    """Keeps one server in one state directory."""

    def __init__(self, state: StateDir) -> None:
        self._state = state
        self._ends: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._data_lock = FileLock(state.data_lock)
        # Once taken it is held until this process ends, so that new users wait until the server is down.
        self._users_lock = FileLock(state.users_lock)
        self._serving: Mongod | None = None

    def end(self, reason: str) -> None:
        """Makes `keep` stop the server and return; safe in a signal handler."""
        self._ends.put(reason)

    def reopen_logs(self) -> None:
        """Opens the logs of keeper and server again by their names, as after a rotation; safe in a signal handler.

        Where that is impossible, the output still goes to the old file.
        """
        try:
            with open_log(self._state.keeper_log) as log:
                streams = [stream for stream in (1, 2) if os.path.sameopenfile(stream, 2)]  # not a pipe for the report
                for stream in streams:
                    os.dup2(log.fileno(), stream)
        except EmbeddedServerError as error:
            _log.warning("%s", error)
        if self._serving is not None:
            self._serving.reopen_log()

    def keep(self, report: Callable[[str], None]) -> None:
        """Starts the server, publishes its address, waits for the end of its last user, and stops it.

        Raises EmbeddedServerError or OSError when it does not start.
        """
        self._state.withdraw()
        mongod, version = self._start(_MongodTimeout(self))
        self._serving = mongod
        try:
            self._state.publish(ServerAddress(os.getpid(), mongod.process.pid, HOST, mongod.port, REPLICA_SET, version))
            report("ready")
            _log.info("mongod %s (pid %d) serves on port %d", version, mongod.process.pid, mongod.port)
            reason = self._await_end(mongod)
            _log.info("stopping mongod: %s", reason)
        finally:
            self._state.withdraw()
            mongod.stop()

    def _start(self, timeout: StartTimeout) -> tuple[Mongod, str]:
        self._data_lock.wait_exclusive(timeout)  # the mongod of a killed keeper holds it until it has ended
        trim(self._state.mongod_log)
        self._state.data.mkdir(mode=0o700, exist_ok=True)
        binary = find_mongod()
        for _ in range(PORT_ATTEMPTS - 1):
            try:
                return self._start_on(binary, self._choose_port(), timeout)
            except PortTakenError as error:
                _log.info("another port is needed: %s", error)
        return self._start_on(binary, self._choose_port(), timeout)

    def _choose_port(self) -> int:
        remembered = self._state.member_port()
        if remembered is not None and is_free(remembered):
            return remembered
        return free_port()

    def _start_on(self, binary: Path, port: int, timeout: StartTimeout) -> tuple[Mongod, str]:
        if self._state.member_port() != port:
            self._move_to(binary, port, timeout)
        mongod = Mongod(binary, self._state, port, self._data_lock, replicated=True)
        try:
            return mongod, lead(mongod, timeout)
        except BaseException:
            mongod.stop()
            raise

    def _move_to(self, binary: Path, port: int, timeout: StartTimeout) -> None:
        # First: if this is interrupted, the port in the stored configuration is unknown.
        self._state.forget_member_port()
        if any(self._state.data.iterdir()):
            mongod = Mongod(binary, self._state, port, self._data_lock, replicated=False)
            try:
                repoint(mongod, timeout)
            finally:
                mongod.stop()
        self._state.remember_member_port(port)

    def _await_end(self, mongod: Mongod) -> str:
        def until_unused() -> None:
            self._users_lock.block_exclusive()
            self.end("no process uses it any more")

        def until_dead() -> None:
            self.end(f"it ended by itself with exit code {mongod.process.wait()}")

        for watch in (until_unused, until_dead):
            threading.Thread(target=watch, daemon=True).start()
        return self._ends.get()

    def is_pointless(self) -> bool:
        """Whether the start is in vain: asked to stop, or without a user."""
        return not self._ends.empty() or self._users_lock.try_exclusive()

    @property
    def log(self) -> Path:
        """The log of mongod."""
        return self._state.mongod_log


class _MongodTimeout(StartTimeout):
    """The time that mongod may take to become a primary."""

    def __init__(self, keeper: Keeper) -> None:
        super().__init__(START_SECONDS, f"mongod was not ready within {START_SECONDS:g} s (log: {keeper.log})")
        self._keeper = keeper

    def is_pointless(self) -> bool:
        return self._keeper.is_pointless()


def is_free(port: int) -> bool:
    """Whether a server can listen on this port of the loopback interface."""
    if listens(port):
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Returns a port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def report(line: str) -> None:
    """Reports the start to the process that launched this one, and closes its pipe."""
    try:
        os.write(sys.stdout.fileno(), (" ".join(line.split())[:2000] + "\n").encode())
    except OSError:
        pass  # the launching process has died; the server is stopped if nobody else uses it
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def run(state: StateDir) -> int:
    """Keeps the server of `state` unless another keeper does; returns the exit code."""
    keeper_lock = FileLock(state.keeper_lock)
    try:
        # A process that checks whether there is a keeper holds the lock for an instant.
        keeper_lock.wait_exclusive(StartTimeout(LOCK_SECONDS, "there is a keeper already"))
    except EmbeddedServerError:
        report("busy")
        return 0
    keeper = Keeper(state)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: keeper.end(signal.Signals(received).name))
    signal.signal(signal.SIGHUP, lambda *_: keeper.reopen_logs())
    try:
        keeper.keep(report)
    except (EmbeddedServerError, OSError) as error:
        _log.error("%s", error)
        report(f"failed {error}")
        return 1
    return 0


def main() -> int:
    """Runs as a program; the state directory is the only argument."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    return run(StateDir(Path(sys.argv[1])))


if __name__ == "__main__":
    sys.exit(main())
