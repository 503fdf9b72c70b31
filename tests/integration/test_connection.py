"""Reaching MongoDB: clear errors without passwords, one client per process and scheduler, nothing left after close."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import PyMongoError
from tests.support.eventually import eventually
from tests.support.nodes import ROOT, is_running
from tests.support.replicaset import ReplicaSet, free_port

from taskscheduler import (
    AuthenticationError,
    DatabaseError,
    DatabaseUnavailableError,
    InvalidOptionError,
    Scheduler,
    SchedulerError,
    Status,
    UnsupportedServerError,
)
from taskscheduler.clock import SYSTEM_CLOCK
from taskscheduler.embedded import find_mongod

Documents = Database[dict[str, Any]]
PASSWORD = "hunter2hunter2"


class Mongod:
    """A mongod of this module's own."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        (directory / "data").mkdir()
        self.port = free_port()
        command = [find_mongod(), "--dbpath", directory / "data", "--bind_ip", "127.0.0.1", "--port", self.port]
        command += ["--nounixsocket", "--logpath", directory / "log", "--wiredTigerCacheSizeGB", "0.25", *arguments]
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
        self.uri = f"mongodb://127.0.0.1:{self.port}/"

    def ready(self) -> None:
        def answers() -> bool:
            assert self.process.poll() is None
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1):
                    return True
            except OSError:
                return False

        eventually(answers, 20, "mongod")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[Mongod]:
    """A mongod without a replica set."""
    mongod = Mongod(tmp_path)
    try:
        mongod.ready()
        yield mongod
    finally:
        mongod.stop()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A replica set that demands a user: `app` may use the database app, `reader` only read it."""
    directory = tmp_path_factory.mktemp("guarded")
    key = directory / "key"
    key.write_text("taskscheduler" * 3)
    key.chmod(0o600)
    mongod = Mongod(directory, "--replSet", "rs0", "--auth", "--keyFile", str(key))
    try:
        mongod.ready()
        with MongoClient[dict[str, Any]](mongod.uri, directConnection=True) as client:
            members = [{"_id": 0, "host": f"127.0.0.1:{mongod.port}"}]
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
            eventually(lambda: client.admin.command("hello")["isWritablePrimary"], 20)
            client.admin.command("createUser", "root", pwd="root", roles=["root"])
        with MongoClient[dict[str, Any]](f"mongodb://root:root@127.0.0.1:{mongod.port}/admin") as client:
            client.app.command("createUser", "app", pwd=PASSWORD, roles=["dbOwner"])
            client.app.command("createUser", "reader", pwd=PASSWORD, roles=["read"])
        yield mongod
    finally:
        mongod.stop()


def everything(error: BaseException) -> str:
    """All that an error and those behind it say."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None:
        chain.append(link)
        link = link.__cause__ or link.__context__
    lines = [line for one in chain for line in (str(one), repr(one), *traceback.format_exception_only(one))]
    return "\n".join([*lines, *(str(getattr(one, "details", "")) for one in chain)])


def ours() -> set[threading.Thread]:
    """The threads that schedulers and clients have started."""
    return {t for t in threading.enumerate() if t.name.startswith(("taskscheduler", "pymongo"))}


# -- errors -----------------------------------------------------------------------------------------------------------


def test_no_server_is_an_error_that_says_what_to_check() -> None:
    port = free_port()
    began = SYSTEM_CLOCK.monotonic()
    scheduler = Scheduler(f"mongodb://127.0.0.1:{port}/app?serverSelectionTimeoutMS=300")
    calls: list[Callable[[], Any]] = [
        lambda: scheduler.add_job("noop"),
        lambda: scheduler.get_job(ObjectId()),
        lambda: list(scheduler.get_jobs()),
        lambda: scheduler.cancel_job(ObjectId()),
        lambda: scheduler.listen(lambda process: True, timeout=1),
        lambda: scheduler.flush(),
    ]
    for call in calls:
        with pytest.raises(DatabaseUnavailableError, match="is it running, and is the URI right") as caught:
            call()
        assert isinstance(caught.value, ConnectionError)
        assert isinstance(caught.value, SchedulerError)
        assert str(port) in str(caught.value)
        assert len(str(caught.value)) < 300
    scheduler.close()
    assert SYSTEM_CLOCK.monotonic() - began < 6  # the timeout in the URI counts, not the default one


@pytest.mark.parametrize(
    "uri",
    [
        "localhost",
        "http://localhost/app",
        "mongodb://",
        "mongodb:///app",
        "mongodb://localhost:99999/app",
        "mongodb://localhost:port/app",
        "mongodb://user@name:x@localhost/app",
        "mongodb://localhost/a b",
        "mongodb://localhost/a$b",
        "mongodb+srv://localhost/app",
        "",
    ],
)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_a_uri_that_cannot_be_used_is_refused_at_once(uri: str) -> None:
    with pytest.raises(InvalidOptionError):
        Scheduler(uri)


@pytest.mark.parametrize("uri", ["mongodb://localhost", "mongodb://localhost/", "mongodb://localhost/?replicaSet=rs0"])
def test_a_uri_without_a_database_is_refused_at_once(uri: str) -> None:
    with pytest.raises(InvalidOptionError, match="must name a database"):
        Scheduler(uri)


@pytest.mark.parametrize("source", [MongoClient, 1, b"mongodb://localhost/app", ["mongodb://localhost/app"], object()])
def test_anything_else_than_a_database_or_a_uri_is_refused_at_once(source: Any) -> None:
    with pytest.raises(InvalidOptionError, match="must be a pymongo Database or a mongodb:// URI"):
        Scheduler(source)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://user:{PASSWORD}@localhost:99999/app",
        f"mongodb://user:{PASSWORD}@localhost",
        f"mongodb://user:{PASSWORD}@@localhost/app",
        f"mongodb://user:{PASSWORD}/x@localhost/app",
        f"mongodb://user:/{PASSWORD}@localhost/app",
        f"mongodb://user:x:{PASSWORD}@localhost/app",
        f"mongodb://user:%zz{PASSWORD}@localhost/app",
        f"mongodb://user:?{PASSWORD}@localhost/app",
        f"mongo://user:{PASSWORD}@localhost/app",
        f"user:{PASSWORD}@localhost/app",
        f"mongodb://user:{PASSWORD}@localhost/a b",
        f"mongodb://user:{PASSWORD}@localhost:99999/app?appName=a@b",
        f"mongodb://localhost:99999/app?tlsCertificateKeyFilePassword={PASSWORD}",
        f"mongodb://localhost:99999/app?authMechanismProperties=AWS_SESSION_TOKEN:{PASSWORD}",
    ],
)
def test_no_message_about_a_bad_uri_holds_the_password(uri: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(InvalidOptionError) as caught:
        Scheduler(uri)
    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in everything(caught.value)
    assert PASSWORD not in caplog.text


def test_a_standalone_server_is_refused_with_the_cure(standalone: Mongod) -> None:
    with Scheduler(standalone.uri + "app") as scheduler:
        for _ in range(2):
            with pytest.raises(UnsupportedServerError, match=r"--replSet rs0 and run rs\.initiate\(\)"):
                scheduler.add_job("noop")
    with MongoClient[dict[str, Any]](standalone.uri) as client:
        assert "app" not in client.list_database_names()


@pytest.mark.parametrize("user", ["app:wrong-{}", "stranger:{}", "app:{}x"])
def test_a_wrong_password_is_named_but_not_told(guarded: Mongod, user: str, caplog: pytest.LogCaptureFixture) -> None:
    uri = f"mongodb://{user.format(PASSWORD)}@127.0.0.1:{guarded.port}/app"
    with Scheduler(uri) as scheduler, caplog.at_level(logging.DEBUG):
        with pytest.raises(AuthenticationError, match="refused this user or password") as caught:
            scheduler.add_job("noop")
        assert isinstance(caught.value, DatabaseError)
        assert PASSWORD not in everything(caught.value)
        assert PASSWORD not in repr(scheduler)
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize("user", ["", f"reader:{PASSWORD}@"])
def test_a_user_without_rights_is_told_so(guarded: Mongod, user: str) -> None:
    with Scheduler(f"mongodb://{user}127.0.0.1:{guarded.port}/app") as scheduler:
        with pytest.raises(AuthenticationError) as caught:
            scheduler.add_job("noop")
        assert PASSWORD not in everything(caught.value)


def test_a_user_with_rights_can_do_everything(guarded: Mongod, caplog: pytest.LogCaptureFixture) -> None:
    with Scheduler(f"mongodb://app:{PASSWORD}@127.0.0.1:{guarded.port}/app") as scheduler:
        with caplog.at_level(logging.DEBUG):
            process = scheduler.add_job_once("noop", 1)
            assert scheduler.get_job(process.id).status is Status.WAITING
            token = scheduler.listen(lambda process: True, timeout=0.2)
            scheduler.cancel_job(process.id)
            scheduler.listen(lambda process: True, timeout=5, after=token)
            assert process.wait(5).status is Status.CANCELED
            assert scheduler.flush() == 1
        assert PASSWORD not in repr(scheduler) + repr(process)
    assert PASSWORD not in caplog.text


# -- clients ----------------------------------------------------------------------------------------------------------


def test_a_database_is_used_and_stays_open(uri: str) -> None:
    with MongoClient[dict[str, Any]](uri) as client:
        with Scheduler(client.get_default_database()) as scheduler:
            process = scheduler.add_job("noop")
        assert client.get_default_database()["taskscheduler.jobs"].count_documents({"_id": process.id}) == 1


def test_a_store_opens_although_a_primary_is_being_elected(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver takes a member between two roles for a server without sessions."""
    apply, struck = ClientSession._apply_to, list[str]()

    def between_roles(self: Any, command: Any, is_retryable: bool, read_preference: Any, conn: Any) -> None:
        roles = conn.supports_sessions
        if not self._implicit and len(struck) < 2:
            struck.append(next(iter(command)))
            conn.supports_sessions = False
        try:
            apply(self, command, is_retryable, read_preference, conn)
        finally:
            conn.supports_sessions = roles

    monkeypatch.setattr(ClientSession, "_apply_to", between_roles)
    with Scheduler(uri) as scheduler:
        assert scheduler.add_job("noop").status is Status.WAITING
    assert len(struck) == 2


def test_closing_leaves_no_thread_and_no_connection(uri: str) -> None:
    before = ours()
    with Scheduler(uri) as scheduler:
        scheduler.add_job("noop")
        list(scheduler.get_jobs())
        scheduler.listen(lambda process: True, timeout=0.1)
        listener = scheduler.listen_in_background()
        assert ours() - before
    assert not listener.running
    eventually(lambda: ours() <= before, 20)


def test_one_client_is_opened_however_many_threads_begin_at_once(uri: str) -> None:
    before = ours()
    for _ in range(5):
        barrier = threading.Barrier(16)
        with Scheduler(uri) as scheduler, ThreadPoolExecutor(16) as pool:

            def add(number: int, scheduler: Scheduler = scheduler, barrier: threading.Barrier = barrier) -> Status:
                barrier.wait()
                return scheduler.add_jobs([("noop", number)])[0].status

            assert list(pool.map(add, range(16))) == [Status.WAITING] * 16
            assert [t.name for t in ours() - before].count("taskscheduler-messages") == 1
    eventually(lambda: ours() <= before, 20)


def test_a_scheduler_that_never_connected_closes(bare_uri: str) -> None:
    with MongoClient[dict[str, Any]](bare_uri) as client:
        database = client.get_default_database()
        _assert_that_it_closes(bare_uri, database)


def _assert_that_it_closes(uri: str, database: Documents) -> None:
    for source in (uri, None, "mongodb://127.0.0.1:1/app", database):
        scheduler = Scheduler(source)
        scheduler.close()
        scheduler.close()
        with Scheduler(source):
            pass
    assert not [thread for thread in ours() if thread.name.startswith("taskscheduler")]
    assert database.list_collection_names() == []


def test_closing_does_not_wait_for_a_server_that_is_gone(tmp_path: Path) -> None:
    with ReplicaSet(tmp_path, members=1) as server:
        scheduler = Scheduler(server.uri("app"))
        scheduler.add_job("noop")
        server.kill(server.ports[0])
        began = SYSTEM_CLOCK.monotonic()
        scheduler.close()
        assert SYSTEM_CLOCK.monotonic() - began < 12, "operations look for a server for 15 s"


def test_closing_twice_is_fine(uri: str) -> None:
    scheduler = Scheduler(uri)
    scheduler.add_job("noop")
    scheduler.close()
    scheduler.close()


def test_an_error_inside_the_block_gets_out_and_closes(uri: str) -> None:
    before = ours()

    def use() -> None:
        with Scheduler(uri) as scheduler:
            scheduler.add_job("noop")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    eventually(lambda: ours() <= before, 20)


def test_changed_options_do_not_lose_messages_of_other_threads(uri: str, database: Documents) -> None:
    with Scheduler(uri) as scheduler, ThreadPoolExecutor(4) as pool:
        adding = [pool.submit(scheduler.add_jobs, [("noop", number)]) for number in range(200)]
        for number in range(20):
            scheduler.set_options(default_retry=number)
        added = sorted(future.result()[0].id for future in adding)
    messages = [job for message in database["taskscheduler.queue"].find() for job in message.get("jobs", ())]
    assert sorted(messages) == added


def test_the_settings_of_the_callers_client_do_not_weaken_ours(uri: str) -> None:
    weak = uri + "&w=0&readPreference=secondaryPreferred&retryWrites=false&tz_aware=false"
    with MongoClient[dict[str, Any]](weak) as client, Scheduler(client.get_default_database()) as scheduler:
        chosen = ObjectId()
        created = scheduler.add_job("noop", id=chosen).refresh().created
        assert created is not None
        assert created.tzinfo is not None
        with pytest.raises(SchedulerError, match="already exists"):
            scheduler.add_job("noop", id=chosen)


# -- fork -------------------------------------------------------------------------------------------------------------

_FORK = """
import os, sys
from taskscheduler import Scheduler
scheduler = Scheduler(sys.argv[1])
[parent] = scheduler.add_jobs([("noop", "parent")])  # which sends a message
child = os.fork()
[added] = scheduler.add_jobs([("noop", "child" if child == 0 else "parent again")])
assert scheduler.get_job(parent.id).data == "parent"
assert parent.refresh().data == "parent"
assert len(list(scheduler.get_jobs())) >= 2
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    scheduler.listen(lambda process: True, timeout=0.1)
if sys.argv[2] != "exit":
    scheduler.close()
"""


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a process that leads a group, and what it has forked."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    if process.stderr is not None:
        process.stderr.close()


@pytest.mark.parametrize("end", ["close", "exit", "close again"])
def test_a_scheduler_can_be_used_on_both_sides_of_a_fork(uri: str, database: Documents, end: str) -> None:
    """As in a web server that loads the application before it forks. Nobody warns, hangs or sends a message twice."""
    command = [sys.executable, "-W", "always", "-W", "ignore::ResourceWarning", "-c", _FORK, uri, end]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        errors = process.communicate(timeout=60)[1]
    except subprocess.TimeoutExpired:
        pytest.fail("the forked child does not end")
    finally:
        kill_group(process)
    assert errors == ""
    assert process.returncode == 0
    data = [document["data"] for document in database["taskscheduler.jobs"].find()]
    assert sorted(data) == ["child", "parent", "parent again"]
    messages = [job for message in database["taskscheduler.queue"].find() for job in message.get("jobs", ())]
    assert len(messages) == len(set(messages)) == 3


_FORK_OFTEN = """
import os, sys
from taskscheduler import Scheduler
with Scheduler(sys.argv[1]) as scheduler:
    for number in range(20):
        scheduler.add_jobs([("noop", number)])  # which sends a message
        child = os.fork()
        if not child:
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
"""


def test_a_child_that_does_not_use_the_scheduler_ends(uri: str, database: Documents) -> None:
    """Whatever the threads of its parent were doing at the fork, and without sending their messages again."""
    command = [sys.executable, "-W", "always", "-W", "ignore::ResourceWarning", "-c", _FORK_OFTEN, uri]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        errors = process.communicate(timeout=60)[1]
    except subprocess.TimeoutExpired:
        pytest.fail("a forked child does not end")
    finally:
        kill_group(process)
    assert (errors, process.returncode) == ("", 0)
    messages = [job for message in database["taskscheduler.queue"].find() for job in message.get("jobs", ())]
    assert len(messages) == len(set(messages)) == 20


# -- where the database is --------------------------------------------------------------------------------------------


def test_without_arguments_the_environment_says_where(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)
    with Scheduler() as scheduler, Scheduler(uri) as other:
        assert other.get_job(scheduler.add_job("noop").id).job == "noop"
    monkeypatch.setenv("TASKSCHEDULER_URI", "mongodb://localhost")
    with Scheduler() as scheduler, pytest.raises(InvalidOptionError, match="must name a database"):
        scheduler.add_job("noop")


_EMBEDDED = """
import sys
from taskscheduler import Scheduler
with Scheduler() as scheduler:
    sys.stdout.write(f"{scheduler.add_job('noop').id} {scheduler.store.database.client.address[1]}\\n")
    sys.stdout.flush()
    sys.stdin.readline()
"""


def test_without_anything_an_embedded_server_is_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKSCHEDULER_URI", raising=False)
    monkeypatch.setenv("TASKSCHEDULER_STATE_DIR", str(tmp_path / "state"))
    with subprocess.Popen(
        [sys.executable, "-c", _EMBEDDED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        try:
            job_id, port = other.stdout.readline().split()
            with Scheduler() as scheduler:
                assert scheduler.get_job(ObjectId(job_id)).status is Status.WAITING
                hello = scheduler.store.database.command("serverStatus")
                pid = int(hello["pid"])
                other.stdin.write("\n")
                other.stdin.flush()
                assert other.wait(20) == 0
                assert len(list(scheduler.get_jobs())) == 1
                assert is_running(pid)
        finally:
            other.kill()
    eventually(lambda: not is_running(pid), 20)
    with pytest.raises(PyMongoError), MongoClient[Any]("127.0.0.1", int(port), serverSelectionTimeoutMS=200) as client:
        client.admin.command("ping")
    assert os.listdir(tmp_path / "state")
