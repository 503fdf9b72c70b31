"""The embedded server keeps other users of the host out; data and servers of version 0.1.0, which has no key, work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from tests.support.eventually import eventually
from tests.support.nodes import is_running
from tests.support.replicaset import free_port
from tests.support.tables import rarely

from taskscheduler import EmbeddedServerError, Scheduler
from taskscheduler.embedded import EmbeddedServer, acquire, find_mongod
from taskscheduler.embedded.locks import FileLock
from taskscheduler.embedded.state_dir import REPLICA_SET, ServerAddress, StateDir, open_state_dir

UNAUTHORIZED, AUTHENTICATION_FAILED = 13, 18

#: what somebody without the key might try
ATTEMPTS: tuple[dict[str, Any], ...] = (
    {"find": "taskscheduler.jobs"},
    {"insert": "taskscheduler.jobs", "documents": [{"status": 0}]},
    {"update": "taskscheduler.jobs", "updates": [{"q": {}, "u": {"$set": {"status": 3}}}]},
    {"delete": "taskscheduler.jobs", "deletes": [{"q": {}, "limit": 0}]},
    {"aggregate": "taskscheduler.jobs", "pipeline": [{"$changeStream": {}}], "cursor": {}},
    {"drop": "taskscheduler.jobs"},
    {"dropDatabase": 1},
    {"listDatabases": 1},
    {"listCollections": 1},
    {"serverStatus": 1},
    {"currentOp": 1},
    {"getLog": "global"},
    {"getCmdLineOpts": 1},
    {"fsync": 1, "lock": True},
    {"setParameter": 1, "logLevel": 0},
    {"replSetGetStatus": 1},
    {"replSetStepDown": 1, "force": True},
    {"createUser": "me", "pwd": "mine", "roles": ["root"]},
    {"shutdown": 1, "force": True},
)


@contextmanager
def stranger(server: EmbeddedServer, **login: Any) -> Iterator[MongoClient[dict[str, Any]]]:
    address = server.address
    client: MongoClient[dict[str, Any]] = MongoClient(
        address.host, address.port, directConnection=True, serverSelectionTimeoutMS=30000, **login
    )
    with client:
        yield client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with acquire(tmp_path_factory.mktemp("guarded"), timeout=60) as running:
        with Scheduler(running.uri) as scheduler:
            scheduler.add_job("noop")
        yield running


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: next(iter(attempt)))
@pytest.mark.parametrize("database", ["taskscheduler", "admin"])
def test_nobody_gets_in_without_the_key(server: EmbeddedServer, attempt: dict[str, Any], database: str) -> None:
    with stranger(server) as client, pytest.raises(OperationFailure) as refused:
        client[database].command(attempt)
    assert refused.value.code == UNAUTHORIZED, refused.value
    assert is_running(server.address.mongod_pid)
    with Scheduler(server.uri) as scheduler:
        assert len(list(scheduler.get_jobs())) == 1


@pytest.mark.parametrize("user", ["__system", "taskscheduler", "root"])
@pytest.mark.parametrize("source", ["local", "admin"])
def test_nobody_gets_in_with_another_password(server: EmbeddedServer, user: str, source: str) -> None:
    with (
        stranger(server, username=user, password="0" * 64, authSource=source) as client,
        pytest.raises(OperationFailure) as refused,
    ):
        client.admin.command("listDatabases")
    assert refused.value.code == AUTHENTICATION_FAILED


@pytest.mark.parametrize(
    "query",
    [
        {"find": "taskscheduler.jobs", "filter": {"$where": "true"}},
        {
            "aggregate": "taskscheduler.jobs",
            "pipeline": [{"$project": {"x": {"$function": {"body": "function() {}", "args": [], "lang": "js"}}}}],
            "cursor": {},
        },
        {"mapReduce": "taskscheduler.jobs", "map": "function() {}", "reduce": "function() {}", "out": {"inline": 1}},
    ],
    ids=["where", "function", "mapReduce"],
)
def test_it_runs_no_javascript(server: EmbeddedServer, query: dict[str, Any]) -> None:
    with MongoClient[dict[str, Any]](server.uri) as client, pytest.raises(OperationFailure) as refused:
        client["taskscheduler"].command(query)
    assert refused.value.code != UNAUTHORIZED
    assert "script" in str(refused.value).lower()


def test_the_key_is_in_one_private_file_alone(server: EmbeddedServer) -> None:
    state = StateDir(server.state_dir)
    key = state.key() or ""
    assert key in server.uri
    assert key not in repr(server)
    assert key not in "".join(
        Path(f"/proc/{pid}/cmdline").read_text() for pid in (server.address.keeper_pid, server.address.mongod_pid)
    )
    files = [path for path in server.state_dir.rglob("*") if path.is_file()]
    assert [path.name for path in files if key.encode() in path.read_bytes()] == ["key"]
    assert [path.name for path in server.state_dir.iterdir() if path.stat().st_mode & 0o077] == []


# -- beside version 0.1.0 ----------------------------------------------------------------------------------------------


class Older:
    """A server as version 0.1.0 runs it: without a password."""

    def __init__(self, state: StateDir) -> None:
        self.state, self.port = state, state.member_port() or free_port()
        state.data.mkdir(exist_ok=True)
        command = [str(find_mongod()), "--dbpath", str(state.data), "--bind_ip", "127.0.0.1", "--port", str(self.port)]
        command += ["--logpath", str(state.mongod_log), "--logappend", "--quiet", "--nounixsocket"]
        command += ["--replSet", REPLICA_SET, "--oplogSize", "64"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._leads, 40, "the older server is the primary")
        state.remember_member_port(self.port)

    def _leads(self) -> bool:
        member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
        try:
            with self.client() as client:
                if client.admin.command("hello")["isWritablePrimary"]:
                    return True
                client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        except PyMongoError:
            pass
        return False

    def client(self) -> MongoClient[dict[str, Any]]:
        return MongoClient("127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=500)

    def publish(self) -> None:
        """Shows the server to other processes; the test is its keeper."""
        address = ServerAddress(os.getpid(), self.process.pid, "127.0.0.1", self.port, REPLICA_SET, "6.0.5")
        self.state.publish(address)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait(30)


@pytest.fixture
def older(tmp_path: Path) -> Iterator[Older]:
    server = Older(open_state_dir(tmp_path / "state"))
    yield server
    server.end()


def ended(state: StateDir) -> None:
    lock = FileLock(state.keeper_lock)
    try:
        eventually(lock.try_exclusive, 40, "the keeper ends")
    finally:
        lock.close()


@pytest.mark.parametrize("port_is_free", [True, *rarely(False)])
def test_data_without_users_are_kept_and_guarded(older: Older, port_is_free: bool) -> None:
    with older.client() as client:
        client["taskscheduler"]["things"].insert_many([{"_id": key} for key in range(100)])
    older.end()
    if not port_is_free:
        older.state.forget_member_port()  # as after a crash while it was changed
    with acquire(older.state.root, timeout=60) as server:
        with MongoClient[dict[str, Any]](server.uri) as client:
            assert client["taskscheduler"]["things"].count_documents({}) == 100
        with stranger(server) as client, pytest.raises(OperationFailure, match="requires authentication"):
            client["taskscheduler"]["things"].find_one()
    ended(older.state)


@pytest.mark.parametrize("key_exists", [True, *rarely(False)])  # the harder one
def test_a_running_server_without_a_password_is_joined(older: Older, key_exists: bool) -> None:
    """Also if a newer version has run on these data in between."""
    if key_exists:
        older.state.ensure_key()
    keeper = FileLock(older.state.keeper_lock)
    assert keeper.try_exclusive()
    try:
        older.publish()
        with acquire(older.state.root, timeout=20) as server:
            assert "@" not in server.uri
            with Scheduler(server.uri) as scheduler:
                assert scheduler.add_job("noop").id
    finally:
        keeper.unlock()


def test_an_older_version_may_use_the_data_again(older: Older) -> None:
    """Nothing is written that it could not read: the key is in no document."""
    older.end()
    with acquire(older.state.root, timeout=60) as server, MongoClient[dict[str, Any]](server.uri) as client:
        client["taskscheduler"]["things"].insert_one({"_id": 1})
    ended(older.state)
    again = Older(older.state)
    try:
        with again.client() as client:
            assert client["taskscheduler"]["things"].find_one() == {"_id": 1}
    finally:
        again.end()


# -- the key is lost, or the start interrupted -------------------------------------------------------------------------


def test_a_running_server_whose_key_is_lost_is_an_error_with_a_cure(tmp_path: Path) -> None:
    with acquire(tmp_path / "state", timeout=60) as server:
        key = server.state_dir / "key"
        found = key.read_text()
        key.unlink()
        with pytest.raises(
            EmbeddedServerError, match=r"the key of the running embedded server cannot be read from .*key"
        ):
            acquire(tmp_path / "state", timeout=5)
        key.write_text(found)
        acquire(tmp_path / "state", timeout=20).release()
    ended(StateDir(tmp_path / "state"))


@pytest.mark.parametrize("content", ["half of a k", *rarely(None, "")])
def test_the_next_start_makes_a_new_key_and_keeps_the_data(tmp_path: Path, content: str | None) -> None:
    state = open_state_dir(tmp_path / "state")
    with acquire(state.root, timeout=60) as server, MongoClient[dict[str, Any]](server.uri) as client:
        client["app"]["things"].insert_one({"_id": 1})
    ended(state)
    former = state.key()
    state.key_file.unlink()
    if content is not None:
        state.key_file.write_text(content)
    with acquire(state.root, timeout=60) as server, MongoClient[dict[str, Any]](server.uri) as client:
        assert client["app"]["things"].find_one() == {"_id": 1}
        assert state.key() not in (None, former)
    ended(state)


@pytest.mark.parametrize("after", [0.3, *rarely(0.1, 0.6)])
def test_a_first_start_may_be_killed_at_any_moment(tmp_path: Path, after: float) -> None:
    state = open_state_dir(tmp_path / "state")
    script = (
        f"from pathlib import Path; from taskscheduler.embedded import acquire; acquire(Path({str(state.root)!r}), 60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", script])
    eventually(lambda: state.keeper_log.exists(), 30, "a keeper starts")
    time.sleep(after)  # a random point of the start, not a wait for something
    starter.kill()
    starter.wait(30)
    with acquire(state.root, timeout=60) as server, Scheduler(server.uri) as scheduler:
        assert scheduler.add_job("noop").id
    ended(state)
