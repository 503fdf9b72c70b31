"""A mongod of one's own, a replica set of one member, that takes failpoints and odd settings."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from taskscheduler.embedded import find_mongod
from tests.support.eventually import eventually
from tests.support.replicaset import free_port

_FLAGS = ("--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--quiet")


class Server:
    """Started, initiated and primary after `__init__`; gone after `stop`."""

    def __init__(self, directory: Path, *flags: str, environment: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        data = directory / "data"
        data.mkdir(parents=True)
        where = ["--dbpath", str(data), "--port", str(self.port), "--logpath", str(directory / "mongod.log")]
        failpoints = ["--setParameter", "enableTestCommands=1"]
        command = [str(find_mongod()), *where, *_FLAGS, "--replSet", "steps", *failpoints, *flags]
        env = {**os.environ, **(environment or {})}
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=env)
        try:
            with self._connected() as client:
                self._initiate(client)
            # the driver starts no session on a connection that is older than the replica set
            self.client = self._connected()
        except BaseException:
            self._end()
            raise

    def uri(self, name: str) -> str:
        return f"mongodb://127.0.0.1:{self.port}/{name}?replicaSet=steps"

    def stop(self) -> None:
        self._end()
        self.client.close()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def _connected(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(
            f"mongodb://127.0.0.1:{self.port}/?directConnection=true&appname=test&serverSelectionTimeoutMS=5000"
        )

    def _initiate(self, client: MongoClient[dict[str, Any]]) -> None:
        eventually(lambda: self._answers(client), 30, "an answer")
        members = [{"_id": 0, "host": f"127.0.0.1:{self.port}"}]
        client.admin.command("replSetInitiate", {"_id": "steps", "members": members})
        eventually(lambda: client.admin.command("hello")["isWritablePrimary"], 30, "a primary")

    def _answers(self, client: MongoClient[dict[str, Any]]) -> bool:
        assert self._process.poll() is None, "mongod has ended"
        try:
            return bool(client.admin.command("ping"))
        except PyMongoError:
            return False

    @contextmanager
    def failing(self, commands: list[str], fault: Mapping[str, Any], times: int = 0) -> Iterator[Failpoint]:
        """These commands of the product fail, so many times or as long as this lasts."""
        data = {"failCommands": commands, "appName": "taskscheduler", **fault}
        mode: Any = {"times": times} if times else "alwaysOn"
        answer = self.client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
        failpoint = Failpoint(self.client, answer["count"])
        try:
            yield failpoint
        finally:
            failpoint.remove()


class Failpoint:
    """What has been configured."""

    def __init__(self, client: MongoClient[dict[str, Any]], before: int) -> None:
        self._client = client
        self._before = before  #: how often this kind of failpoint had struck until then
        self.struck = 0  #: how often it has, once it was removed

    def remove(self) -> None:
        """Take it away, and count."""
        answer = self._client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        self.struck = int(answer["count"]) - self._before
