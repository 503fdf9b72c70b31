"""A replica set of real mongods on loopback, whose members can be killed and started again."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from taskscheduler.embedded import find_mongod
from tests.support.eventually import eventually

_FLAGS = ("--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64", "--quiet")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ReplicaSet:
    """Three members by default, with an election timeout of two seconds."""

    def __init__(self, directory: Path, members: int = 3) -> None:
        self._directory = directory
        self._ports = [free_port() for _ in range(members)]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> ReplicaSet:
        try:
            for port in self._ports:
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

    def start(self, port: int) -> None:
        data = self._directory / str(port)
        data.mkdir(exist_ok=True)
        where = [
            "--dbpath",
            str(data),
            "--port",
            str(port),
            "--replSet",
            "rs",
            "--logpath",
            f"{data}.log",
            "--logappend",
        ]
        command = [str(find_mongod()), *where, *_FLAGS]
        self._processes[port] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def uri(self, database: str) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"mongodb://{hosts}/{database}?replicaSet=rs"

    def primary(self) -> int:
        """The port of the member that is primary now; waits for one."""
        return eventually(self._primary, 30, "a primary")

    def kill(self, port: int) -> None:
        """SIGKILL to a member."""
        self._processes[port].kill()
        self._processes[port].wait(10)

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait(10)

    def _initiate(self) -> None:
        for port in self._ports:
            eventually(lambda port=port: self._hello(port), 30, "an answer")  # type: ignore[misc]
        members = [{"_id": number, "host": f"127.0.0.1:{port}"} for number, port in enumerate(self._ports)]
        config = {"_id": "rs", "members": members, "settings": {"electionTimeoutMillis": 2000}}
        with self._client(self._ports[0]) as client:
            client.admin.command("replSetInitiate", config)
        self.primary()

    def _primary(self) -> int | None:
        return next((port for port in self._ports if (self._hello(port) or {}).get("isWritablePrimary")), None)

    def _hello(self, port: int) -> dict[str, Any] | None:
        try:
            with self._client(port) as client:
                return client.admin.command("hello")
        except PyMongoError:
            return None

    @staticmethod
    def _client(port: int) -> MongoClient[dict[str, Any]]:
        return MongoClient(f"mongodb://127.0.0.1:{port}/?directConnection=true&serverSelectionTimeoutMS=500")
