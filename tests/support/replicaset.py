"""A replica set of real mongods on loopback, whose members can be killed, stopped, frozen and started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from taskscheduler.embedded import find_mongod
from tests.support.eventually import eventually

_FLAGS = ("--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--quiet")
_SETTINGS = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
#: becomes the mongod, which is then killed when the thread that started it ends, however that happens
_DIE_WITH_PARENT = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many different ones."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class ReplicaSet:
    """Three members by default, with an election timeout of two seconds. Members are named by their ports.

    `flags` are more of mongod's; `test_commands` allows failpoints; `environment` gives single members, by their
    number, variables of their own.
    """

    def __init__(
        self,
        directory: Path,
        members: int = 3,
        *,
        oplog_mb: int = 64,
        flags: Sequence[str] = (),
        test_commands: bool = False,
        environment: Mapping[int, Mapping[str, str]] | None = None,
    ) -> None:
        self._directory = directory
        self.ports = free_ports(members)
        self._hosts = [f"127.0.0.1:{port}" for port in self.ports]
        self._flags = [*_FLAGS, *flags, "--oplogSize", str(oplog_mb)]
        self._flags += ["--setParameter", "enableTestCommands=1"] if test_commands else []
        self._environment = {self.ports[number]: dict(more) for number, more in (environment or {}).items()}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def advertise(self, hosts: Sequence[str]) -> None:
        """The addresses, one a member, by which everybody shall reach them: of proxies. Before the set is entered."""
        self._hosts = list(hosts)

    def __enter__(self) -> ReplicaSet:
        try:
            for port in self.ports:
                self.start(port)
            self._initiate()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for port in self.ports:
            shutil.rmtree(self._directory / str(port), ignore_errors=True)

    # -- members ----------------------------------------------------------------------------------------------------

    def start(self, port: int) -> None:
        """Start a member, or start it again on its old data."""
        data = self._directory / str(port)
        data.mkdir(exist_ok=True)
        where = ["--dbpath", str(data), "--port", str(port), "--replSet", "rs", "--logpath", f"{data}.log"]
        command = [str(find_mongod()), *where, "--logappend", *self._flags]
        if sys.platform == "linux":
            command = [sys.executable, "-S", "-c", _DIE_WITH_PARENT, *command]
        environment = {**os.environ, **self._environment.get(port, {})}
        null = subprocess.DEVNULL
        self._processes[port] = subprocess.Popen(command, stdout=null, stderr=null, env=environment)

    def kill(self, port: int) -> None:
        """SIGKILL to a member."""
        self._processes[port].kill()
        self._processes[port].wait(10)

    def pause(self, port: int) -> None:
        """SIGSTOP to a member: it keeps its connections and answers nobody."""
        self._processes[port].send_signal(signal.SIGSTOP)

    def resume(self, port: int) -> None:
        """SIGCONT to a member."""
        self._processes[port].send_signal(signal.SIGCONT)

    def is_up(self, port: int) -> bool:
        """Whether the process of a member runs, frozen or not."""
        return self._processes[port].poll() is None

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait(10)

    # -- the set ----------------------------------------------------------------------------------------------------

    def uri(self, database: str, **options: str) -> str:
        """The URI of a database on this set."""
        more = "".join(f"&{name}={value}" for name, value in options.items())
        return f"mongodb://{','.join(self._hosts)}/{database}?replicaSet=rs{more}"

    def primary(self) -> int:
        """The port of the member that is primary now; waits for one."""
        return eventually(self._primary, 30, "a primary")

    def secondaries(self) -> list[int]:
        """The other members."""
        primary = self.primary()
        return [port for port in self.ports if port != primary]

    def step_down(self, seconds: int = 5) -> None:
        """Make the primary step down, whether or not another member has caught up."""
        try:
            self.command(self.primary(), {"replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": 0, "force": True})
        except (AutoReconnect, OperationFailure):
            pass  # it closes its connections, or was no primary any more

    def fail_point(self, port: int, name: str, mode: Any, data: Mapping[str, Any] | None = None) -> None:
        """Configure a failpoint on one member; needs `test_commands`."""
        command: dict[str, Any] = {"configureFailPoint": name, "mode": mode}
        self.command(port, {**command, "data": dict(data)} if data else command)

    def wait_until_healthy(self, timeout: float = 40.0) -> None:
        """Return when there is one primary and all other members follow it."""
        eventually(self.is_healthy, timeout, "a primary and its secondaries")

    def command(self, port: int, command: Mapping[str, Any], timeout: float = 30.0) -> dict[str, Any]:
        """Run a command on one member, whatever its state."""
        settings = f"directConnection=true&serverSelectionTimeoutMS=500&socketTimeoutMS={timeout * 1000:.0f}"
        client: MongoClient[dict[str, Any]] = MongoClient(f"mongodb://127.0.0.1:{port}/?{settings}")
        with client:
            return client.admin.command(dict(command))

    def _initiate(self) -> None:
        for port in self.ports:
            eventually(lambda port=port: self._hello(port), 30, "an answer")  # type: ignore[misc]
        members = [{"_id": number, "host": host} for number, host in enumerate(self._hosts)]
        self.command(self.ports[0], {"replSetInitiate": {"_id": "rs", "members": members, "settings": _SETTINGS}})
        self.wait_until_healthy()

    def is_healthy(self) -> bool:
        """Whether there is one primary and all other members follow it."""
        found = [self._hello(port) or {} for port in self.ports]
        states = sorted("p" if hello.get("isWritablePrimary") else "s" * hello.get("secondary", 0) for hello in found)
        return states == ["p", *"s" * (len(self.ports) - 1)]

    def _primary(self) -> int | None:
        return next((port for port in self.ports if (self._hello(port) or {}).get("isWritablePrimary")), None)

    def _hello(self, port: int) -> dict[str, Any] | None:
        try:
            return self.command(port, {"hello": 1}, timeout=1.0)
        except PyMongoError:
            return None
