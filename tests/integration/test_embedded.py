"""The embedded server with a real mongod and real processes: shared, stopped with the last user, never stuck."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.support import commands
from tests.support.nodes import is_running
from tests.support.tables import rarely

from taskscheduler.embedded import acquire
from taskscheduler.embedded.binary import ENVIRONMENT
from taskscheduler.embedded.launcher import launch_keeper
from taskscheduler.embedded.locks import FileLock, StartTimeout
from taskscheduler.embedded.state_dir import StateDir, open_state_dir
from taskscheduler.embedded.users import join_users
from taskscheduler.errors import EmbeddedServerError

SECONDS = 40.0

USER = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from taskscheduler.embedded import acquire
server = acquire(Path(sys.argv[1]), timeout=40)
sys.stdout.write(json.dumps({"uri": server.uri, **asdict(server.address)}) + "\\n")
sys.stdout.flush()
sys.stdin.read()
server.release()
"""

Address = dict[str, Any]


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, f"not within {SECONDS} s: {what}"
        threading.Event().wait(0.02)


def is_open(pid: int, file: Path) -> bool:
    """Whether a process has this file open."""
    return any(
        os.path.samestat(os.stat(entry), file.stat()) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.exists()
    )


class Place:
    """A state directory and the processes that use it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.users: list[subprocess.Popen[str]] = []
        self.started: set[int] = set()

    def user(self) -> subprocess.Popen[str]:
        process = commands.Popen(
            [sys.executable, "-c", USER, str(self.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.users.append(process)
        return process

    def address(self, user: subprocess.Popen[str]) -> Address:
        assert user.stdout is not None
        ready, _, _ = select.select([user.stdout], [], [], SECONDS)
        assert ready, "the user got no server in time"
        address: Address = json.loads(user.stdout.readline())
        self.started |= {address["keeper_pid"], address["mongod_pid"]}
        return address

    def end(self, user: subprocess.Popen[str]) -> None:
        user.communicate(timeout=SECONDS)
        assert user.returncode == 0

    def published(self) -> bool:
        return (self.root / "server.json").exists()

    def is_locked(self, name: str) -> bool:
        path = self.root / name
        if not path.exists():
            return False
        with path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def until_stopped(self, address: Address) -> None:
        until(lambda: not is_running(address["mongod_pid"]), "mongod ends")
        until(lambda: not is_running(address["keeper_pid"]), "the keeper ends")
        # The kernel closes the files of a process a moment after it has become a zombie.
        until(self.is_idle, "the locks are released")

    def is_idle(self) -> bool:
        return not self.is_locked("keeper.lock") and not self.is_locked("data.lock")

    def clean(self) -> None:
        for user in self.users:
            if user.poll() is None:
                user.kill()
            user.communicate()
        try:
            until(self.is_idle, "all ends")
        finally:
            for pid in filter(is_running, self.started):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "state")
    try:
        yield place
    finally:
        place.clean()


def insert(uri: str, key: int) -> None:
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=10_000) as client:
        client.get_default_database()["things"].insert_one({"_id": key})


def keys(uri: str) -> list[int]:
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=10_000) as client:
        return sorted(thing["_id"] for thing in client.get_default_database()["things"].find())


def test_server_starts_and_serves_reads_writes_and_change_streams(place: Place) -> None:
    with (
        acquire(place.root, timeout=SECONDS) as server,
        MongoClient[dict[str, Any]](server.uri, serverSelectionTimeoutMS=10_000) as client,
    ):
        things = client.get_default_database()["things"]
        with things.watch(max_await_time_ms=5000) as changes:
            things.insert_one({"_id": 1})
            assert next(changes)["documentKey"] == {"_id": 1}
        assert client.get_default_database().name == "taskscheduler"
        assert stat.S_IMODE(place.root.stat().st_mode) == 0o700
        address = {"keeper_pid": server.address.keeper_pid, "mongod_pid": server.address.mongod_pid}
    place.until_stopped(address)
    assert not place.published()


def test_parts_of_one_process_share_one_use(place: Place) -> None:
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(acquire(place.root, SECONDS))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({server.uri for server in results}) == 1
    for server in results[:3]:
        server.release()
        server.release()
    assert place.is_locked("users.lock")
    insert(results[3].uri, 1)
    results[3].release()
    until(place.is_idle, "the keeper ends")


def test_second_process_joins_and_keeps_the_server_when_the_first_ends(place: Place) -> None:
    first, second = place.user(), place.user()
    address, joined = place.address(first), place.address(second)
    assert joined == address
    place.end(first)
    assert is_running(address["mongod_pid"])
    insert(joined["uri"], 1)
    assert place.published()
    place.end(second)
    place.until_stopped(address)
    assert not place.published()


def test_data_survives_a_restart_on_the_same_port(place: Place) -> None:
    first = place.user()
    address = place.address(first)
    insert(address["uri"], 7)
    place.end(first)
    # Not waiting for the end: the next user has to cope with a server that is being stopped.
    again = place.address(place.user())
    assert again["port"] == address["port"]
    assert again["mongod_pid"] != address["mongod_pid"]
    assert keys(again["uri"]) == [7]


def test_killed_user_stops_the_server(place: Place) -> None:
    user = place.user()
    address = place.address(user)
    user.kill()
    place.until_stopped(address)
    assert not place.published()


def test_killed_keeper_takes_mongod_along_and_the_next_user_starts_anew(place: Place) -> None:
    address = place.address(place.user())
    insert(address["uri"], 1)
    os.kill(address["keeper_pid"], signal.SIGKILL)
    again = place.address(place.user())
    assert again["keeper_pid"] != address["keeper_pid"]
    assert not is_running(address["mongod_pid"])
    assert keys(again["uri"]) == [1]


def test_terminated_keeper_stops_mongod_although_it_is_used(place: Place) -> None:
    address = place.address(place.user())
    os.kill(address["keeper_pid"], signal.SIGTERM)
    place.until_stopped(address)
    assert not place.published()


def test_its_logs_are_opened_again_after_a_rotation(place: Place) -> None:
    address = place.address(place.user())
    keeper, mongod = place.root / "keeper.log", place.root / "mongod.log"
    for log in (keeper, mongod):
        log.rename(log.with_suffix(".1"))
    os.kill(address["keeper_pid"], signal.SIGHUP)
    until(lambda: keeper.exists() and is_open(address["keeper_pid"], keeper), "a new log of the keeper")
    until(lambda: mongod.exists() and is_open(address["mongod_pid"], mongod), "a new log of mongod")
    assert [log.stat().st_mode & 0o777 for log in (keeper, mongod)] == [0o600, 0o600]
    assert not is_open(address["keeper_pid"], place.root / "keeper.1")
    os.kill(address["keeper_pid"], signal.SIGTERM)
    place.until_stopped(address)
    assert "stopping mongod: SIGTERM" in keeper.read_text()


def test_killed_mongod_ends_the_keeper_and_the_next_user_starts_anew(place: Place) -> None:
    address = place.address(place.user())
    insert(address["uri"], 1)
    os.kill(address["mongod_pid"], signal.SIGKILL)
    place.until_stopped(address)
    assert not place.published()
    again = place.address(place.user())
    assert keys(again["uri"]) == [1]


def test_four_processes_at_once_get_one_server(place: Place) -> None:
    users = [place.user() for _ in range(4)]
    addresses = [place.address(user) for user in users]
    assert all(address == addresses[0] for address in addresses)


def test_starter_that_is_killed_at_once_leaves_nothing_running(place: Place) -> None:
    user = place.user()
    until(lambda: place.is_locked("keeper.lock") and place.is_locked("data.lock"), "a keeper starts")
    user.kill()
    until(place.is_idle, "the keeper ends")
    assert not place.published()


@pytest.mark.parametrize("crash", [True, *rarely(False)])
def test_occupied_port_is_replaced_and_the_data_stays(place: Place, crash: bool) -> None:
    user = place.user()
    address = place.address(user)
    for key in range(100):
        insert(address["uri"], key)
    if crash:
        os.kill(address["mongod_pid"], signal.SIGKILL)
    else:
        place.end(user)
    place.until_stopped(address)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", address["port"]))
        stranger.listen()
        moved = place.address(place.user())
        assert moved["port"] != address["port"]
        assert keys(moved["uri"]) == list(range(100))


@pytest.fixture
def fake_mongod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Sets, as the only mongod, a shell script: what it does for `--version`, and what it does as a server."""

    def install(for_version: str, as_server: str) -> None:
        path = tmp_path / "mongod"
        path.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then {for_version}; else {as_server}; fi\n')
        path.chmod(0o755)
        monkeypatch.setenv(ENVIRONMENT, str(path))

    return install


VERSION = "echo db version v6.0.5"


def test_no_binary_names_the_ways_out(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "mongod"))
    with pytest.raises(EmbeddedServerError, match=r"TASKSCHEDULER_MONGOD=.*TASKSCHEDULER_URI=mongodb://"):
        acquire(place.root)
    assert not place.is_locked("users.lock")


def test_missing_library_is_named_with_its_package(place: Place, fake_mongod: Callable[[str, str], None]) -> None:
    fake_mongod('echo "$0: error while loading shared libraries: libcurl.so.4: no" >&2; exit 127', "exit 127")
    with pytest.raises(EmbeddedServerError, match=r"libcurl4.*apt-get install libcurl4 libssl3"):
        acquire(place.root)


def test_mongod_that_ends_at_start_is_an_error_with_its_last_words(
    place: Place, fake_mongod: Callable[[str, str], None]
) -> None:
    fake_mongod(VERSION, "echo no luck; exit 3")
    with pytest.raises(EmbeddedServerError, match=r"exit code 3: no luck \(log: .*mongod\.log\)"):
        acquire(place.root)
    until(place.is_idle, "the keeper ends")


def test_server_that_never_gets_ready_is_an_error_at_the_timeout(
    place: Place, fake_mongod: Callable[[str, str], None]
) -> None:
    fake_mongod(VERSION, "exec sleep 600")
    place.root.mkdir(mode=0o700)
    (place.root / "mongod.log").write_text("of an earlier server\n")
    with pytest.raises(EmbeddedServerError, match=r"not ready within 1\.5 s; last log line: (?!of an earlier)"):
        acquire(place.root, timeout=1.5)
    until(place.is_idle, "the keeper gives up")


def test_damaged_data_is_an_error_that_names_the_log(place: Place) -> None:
    (place.root / "data").mkdir(parents=True)
    (place.root / "data" / "WiredTiger").write_text("damaged")
    (place.root / "data" / "storage.bson").write_text("damaged")
    with pytest.raises(EmbeddedServerError, match=r"mongod ended with exit code -?\d+: .*mongod\.log"):
        acquire(place.root, timeout=SECONDS)
    until(place.is_idle, "the keeper ends")


def test_state_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedServerError, match="cannot be created"):
        acquire(tmp_path / "file" / "state")


def is_kept(state: StateDir) -> bool:
    lock = FileLock(state.keeper_lock)
    try:
        return not lock.try_exclusive()
    finally:
        lock.close()


def test_whoever_gives_up_a_start_can_wait_for_the_end_of_the_keeper_by_its_lock(tmp_path: Path) -> None:
    state = open_state_dir(tmp_path / "state")
    usage = join_users(state, StartTimeout(SECONDS, "too slow"))
    try:
        with pytest.raises(EmbeddedServerError, match="given up"):
            launch_keeper(state, StartTimeout(0, "given up"))
        assert is_kept(state)  # not only some moments later
    finally:
        usage.release()
    until(lambda: not is_kept(state), "the keeper has ended")
